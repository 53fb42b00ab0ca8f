"""Every architecture in transformers' mappings: MeZO and IP-SGD equal a dense oracle.

Models are tiny, random, and in training mode without dropout. They compute in float64, except those in
`FLOAT32`. The architectures come from the mappings themselves, so that a new one is tested without a change
here. `special_cases.py` lists those that cannot be built, with the reason.
"""

import pytest

from tests.zoo.checks import check_ip_sgd, check_mezo, cross_entropy
from tests.zoo.models import AUTO, build, logits, mapping
from tests.zoo.special_cases import FEATURES, FLOAT32, NO_BACKWARD, NOT_BUILT, REJECTED

LOSS = cross_entropy(logits)
KNOWN = [(task, model_type) for task in AUTO for model_type in mapping(task)]
CASES = [pytest.param(*case, id=f"{case[0].lower()}-{case[1]}") for case in KNOWN if case not in NOT_BUILT]


def test_almost_all_architectures_can_be_built():
    """The tables of special cases name known architectures only, and few of them are not built."""
    assert set(NOT_BUILT) <= set(KNOWN)
    assert {*FLOAT32, *NO_BACKWARD, *REJECTED, *FEATURES} <= {model_type for _, model_type in KNOWN}
    assert len(CASES) > 0.95 * len(KNOWN) > 400


@pytest.mark.slow
@pytest.mark.parametrize(("task", "model_type"), CASES)
def test_mezo_and_ip_sgd_equal_the_oracle(task, model_type):
    model = build(task, model_type)
    if model_type in REJECTED:
        with pytest.raises(ValueError, match=REJECTED[model_type]):
            check_mezo(model, LOSS)
    else:
        check_mezo(model, LOSS)
    if model_type not in NO_BACKWARD:
        check_ip_sgd(model, LOSS)


@pytest.mark.slow
@pytest.mark.parametrize("experts", ["grouped_mm", "batched_mm"])
def test_mezo_and_ip_sgd_equal_the_oracle_with_fused_experts(experts):
    """The fused implementations of experts read all weights in one operator. They do not support float64."""
    model = build("CAUSAL_LM", "mixtral", experts=experts)
    check_mezo(model, LOSS)
    check_ip_sgd(model, LOSS)
