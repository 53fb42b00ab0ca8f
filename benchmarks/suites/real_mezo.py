"""MeZO on SST-2 with five times the budget of `real`: one seed, shown apart from the comparison."""

from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites import real
from benchmarks.suites.real import TRIALS
from benchmarks.suites.real_grid import BUDGET, TUNED_ON, run_of

__all__ = ["TRIALS", "specs"]

FACTOR, SEED = 5, 0


def specs() -> list[RunSpec]:
    """Return the run, at the learning rate of MeZO in `real`.

    Raises:
        UserError: the trials of `real` have no rows yet.
    """
    own = {"forward_equivalents": FACTOR * BUDGET[TUNED_ON], "test_rows": real.TEST_ROWS[TUNED_ON]}
    return [from_dict(run_of("MeZO", TUNED_ON, SEED) | own | {"lr": real.rate_of("MeZO")})]
