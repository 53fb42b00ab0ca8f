"""Tests of `sweep --save-models`: one model per run, repeated runs, and rows that stay."""

import pytest

from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.results import saved, store
from benchmarks.sweep.worker import run_spec
from benchmarks.training import run as train
from benchmarks.training import saved_model
from tests.benchmarks.sweep.inline import SPECS, TINY, Dying, swept

DONE = [spec for spec in SPECS if spec.method != "addax"]
ZERO = from_dict(
    {"method": "zero-shot"} | {k: v for k, v in TINY.items() if k not in ("steps", "evaluations", "lr")}
)


def models_of(specs):
    return {spec.id for spec in specs if (saved.folder("s", spec) / "model.safetensors").exists()}


@pytest.mark.medium
def test_a_sweep_saves_one_model_per_run_and_repeats_runs_without_theirs(runs):
    """The failed run and the zero-shot run have none, and the latter is finished without one."""
    specs = [*SPECS, ZERO]
    failed, text = swept(specs)
    assert (failed, models_of(specs)) == (1, set())
    failed, text = swept(specs, save_models=True)
    assert "4 runs to do (3 again, because their models are not saved), 1 already finished" in " ".join(
        text.split()
    )
    assert (failed, models_of(specs)) == (1, {spec.id for spec in DONE})
    _, text = swept([*DONE, ZERO], save_models=True)
    assert text.strip() == "s: 0 runs to do, 4 already finished"
    for spec in DONE:
        assert (
            saved.read(saved.folder("s", spec))["score"] == store.read_row(runs / f"{spec.id}.json")["score"]
        )


def test_a_model_of_other_sources_is_missing(runs, monkeypatch):
    spec = SPECS[0]
    swept([spec], save_models=True)
    data = train.data_fingerprint(spec, None)
    assert not saved.is_missing("s", spec, data)
    record = saved.folder("s", spec) / saved.RECORD
    record.write_text(record.read_text().replace('"source_fingerprint": "', '"source_fingerprint": "0'))
    assert saved.is_missing("s", spec, data)


@pytest.mark.parametrize("how", ["fails", "dies"])
def test_a_finished_row_stays_if_saving_its_model_fails(runs, monkeypatch, how):
    spec = SPECS[0]
    swept([spec])
    before = (runs / f"{spec.id}.json").read_bytes()

    def full(*_):
        raise UserError("cannot save the model")

    if how == "fails":
        monkeypatch.setattr(saved_model, "save", full)
        failed, text = swept([spec], save_models=True)
        assert "cannot save the model" in text
    else:
        failed, text = swept([spec], Dying(times=9), save_models=True)
    assert failed == 1
    assert (runs / f"{spec.id}.json").read_bytes() == before
    assert swept([spec], save_models=True)[0] == (how == "fails")


def test_a_manual_run_whose_model_cannot_be_saved_has_no_row_and_keeps_its_checkpoint(
    runs, monkeypatch, tmp_path
):
    def full(*_):
        raise UserError("cannot save the model")

    options = {"suite": "s", "folder": None, "jobs": 1, "wandb": "disabled"}
    options["model_folder"] = lambda spec: tmp_path / "m"
    with monkeypatch.context() as patch:
        patch.setattr(saved_model, "save", full)
        with pytest.raises(UserError, match="cannot save the model"):
            run_spec(SPECS[0], **options)
    assert store.read_suite("s") == []
    assert list(store.checkpoints("s").glob("*/last.pt"))
    assert run_spec(SPECS[0], **options).status == "done"
    (row,) = store.read_suite("s")
    assert row["resumed_at_steps"] == [1]
    assert saved.is_of(tmp_path / "m", SPECS[0], row["data_fingerprint"])


def test_models_that_do_not_fit_end_a_sweep_before_any_run(runs, monkeypatch):
    def refuse(folder, specs):
        raise UserError(f"{len(specs)} models")

    monkeypatch.setattr(saved_model, "check_space", refuse)
    with pytest.raises(UserError, match="3 models"):
        swept([*DONE, ZERO], save_models=True)
    assert store.read_suite("s") == []
