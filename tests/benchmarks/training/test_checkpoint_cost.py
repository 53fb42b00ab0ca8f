"""Checkpoints take less than a twentieth of the training time, however often the run is taken up again."""

import pickle
from random import Random

import pytest

from benchmarks.training import checkpoint

SIZE, BEST = 10**9, 5 * 10**8


class Disk:
    """A slow one whose speed varies; a clock that only it moves."""

    def __init__(self, monkeypatch, rate):
        self.clock, self.rate, self.rng = 0.0, rate, Random(0)
        monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: self.clock)
        monkeypatch.setattr(checkpoint, "_write", self.write)
        monkeypatch.setattr(checkpoint, "_read", lambda path: pickle.loads(path.read_bytes()))

    def write(self, target, content):
        size = BEST if target.name.startswith("best") else SIZE
        self.clock += size / self.rate * self.rng.uniform(0.8, 1.2)
        target.write_bytes(pickle.dumps(content))
        return size


@pytest.mark.parametrize("rate", [2e9, 1e8, 2e7])
@pytest.mark.parametrize("lives", [1, 8])
def test_the_share_holds(tmp_path, monkeypatch, rate, lives):
    """Ten hours, new best weights every half an hour, at a tenth of the expected speed too."""
    disk, trained, seconds, written = Disk(monkeypatch, rate), 0.0, [], 0
    for life in range(lives):
        checkpoints = checkpoint.Checkpoints(tmp_path, "0", {}, pytest.fail)
        checkpoints.open()
        checkpoints.take()
        until = 36_000 * (life + 1) / lives
        while trained < until:
            trained += 1.0
            best = int(trained // 1800) or None
            if checkpoints.due(trained, SIZE, best, BEST):
                checkpoints.save(
                    lambda: {"tally": {"step_seconds": []}}, {} if best else None, best, train_seconds=trained
                )
                written += 1
        seconds.append(checkpoints.seconds)
    assert disk.clock < 0.05 * trained
    assert written >= 3
    # What was spent in earlier lives is remembered, to within the last write of each.
    assert seconds[-1] == pytest.approx(disk.clock, rel=0.25)


def test_the_first_write_is_foreseen_with_its_best_weights(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path, "0", {}, pytest.fail)
    needed = (checkpoint.START + (SIZE + BEST) / checkpoint.RATE) / checkpoint.SHARE
    assert not checkpoints.due(0.99 * needed, SIZE, 5, BEST)
    assert checkpoints.due(1.01 * needed, SIZE, 5, BEST)
    assert checkpoints.due(0.99 * needed, SIZE, None, BEST)


def test_after_a_failure_there_is_a_pause_and_not_an_end(tmp_path, monkeypatch):
    said = []
    checkpoints = checkpoint.Checkpoints(tmp_path, "0", {}, said.append)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write", full)
        for trained in (1000.0, 2000.0):
            checkpoints.save(dict, train_seconds=trained)
    assert len(said) == 1
    assert not checkpoints.due(2100.0, 0, None, 0)
    assert checkpoints.due(2600.0, 0, None, 0)
