"""Tests of the options that every method with a zeroth-order part takes."""

import pytest
from torch import nn

from addax import Addax
from addax.zeroth_order import ZERO_ORDER_DEFAULTS, ZeroOrderOptions
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG


def test_every_zeroth_order_option_has_a_default():
    assert set(ZERO_ORDER_DEFAULTS) == set(ZeroOrderOptions.__annotations__)


@pytest.mark.parametrize("method", [Addax, MeZO, MeZOSVRG])
def test_options_reach_the_optimizer(method):
    opt = method(nn.Linear(2, 1), lr=0.1, eps=1e-2, seed=7, rounding="nearest")
    assert (opt.eps, opt.seed, opt.rounding) == (1e-2, 7, "nearest")
    assert method.arguments() | ZERO_ORDER_DEFAULTS == method.arguments()


def test_mezo_svrg_offers_no_released_arithmetic():
    with pytest.raises(TypeError, match="unexpected keyword argument 'arithmetic'"):
        MeZOSVRG(nn.Linear(2, 1), lr=0.1, arithmetic="released")
