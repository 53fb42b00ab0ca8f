"""Say whether the kernels can run on a device, and if not, why.

This module imports triton only when it is asked. The kernels need no arithmetic in bfloat16 (see
`formats.py`), so cards without it can run them. A trial shows whether triton compiles for a card.
"""

import re
from functools import cache

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

OLDEST = (3, 6)
# z of some elements of parameter 0 for step seed 0. The normals were computed in float64 from the definition.
_NORMALS = {
    0: 0.3337205219360164,
    1: 0.3749548783077463,
    512: -0.05909087597258175,
    1024: -0.5699067630160557,
    1536: 0.48814746011610666,
    2047: 0.3668175550305309,
}
_SIGNS = {97 * i: 1.0 if sign == "+" else -1.0 for i, sign in enumerate("-++-+-+-++--+-+-+--+-+")}


def unavailable(device: torch.device) -> str | None:
    """Return why the kernels cannot run on a device, in one line, or None if they can.

    The first call for a device compiles two kernels, runs them, and waits for them. It raises only if the
    device has no memory left for them.
    """
    if device.type != "cuda":
        return f"the kernels need a CUDA device, not {device.type}"
    try:
        index = torch.cuda.current_device() if device.index is None else device.index
    except Exception as error:
        return _line(error)
    return _reason(torch.device("cuda", index))


@cache
def _reason(device: torch.device) -> str | None:
    try:
        import triton
    except ImportError as error:
        return f"triton is missing: {_line(error)}"
    try:
        version = re.match(r"(\d+)\.(\d+)", triton.__version__)
        if version is None or tuple(map(int, version.groups())) < OLDEST:
            return f"triton {triton.__version__} is too old: the kernels need {'.'.join(map(str, OLDEST))}"
        if triton.knobs.runtime.interpret:
            return "TRITON_INTERPRET is set: triton's interpreter cannot reach the memory of a CUDA device"
        return _trial(device)
    except Exception as error:
        if "out of memory" in str(error):
            # The next attempt may find enough memory, and then draws the noise that it should.
            raise
        return f"a trial kernel failed: {_line(error)}"


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _trial(device: torch.device) -> str | None:
    from addax.kernels.draw import draw

    for direction, known in (("normal", _NORMALS), ("rademacher", _SIGNS)):
        # A prediction of memory may be under way.
        with unset_fake_temporarily():
            z = draw(0, 0, torch.Size([2048]), device, direction).tolist()
        for element, expected in known.items():
            if not abs(z[element] - expected) <= 1e-6 * abs(expected):
                return f"a trial kernel computed a wrong {direction} z: {z[element]} instead of {expected}"
    return None
