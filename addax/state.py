"""State: what the next step of a method depends on, in the containers of torch's optimizers.

    opt.state[p]          tensors that belong to parameter p, such as Adam's moments
    opt.state[p0][NAME]   everything else (p0 is the first parameter, NAME is the class), such as the seed

Tools that know only torch's containers can therefore save and restore every method:
`torch.distributed.checkpoint`, accelerate, and plain `torch.save`. The state contains tensors, numbers, and
dicts only, and its structure does not depend on the number of steps.
"""

import copy
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from addax.noise import IMPLEMENTATIONS

_COUNTERS = ("skipped_steps", "consecutive_skips", "masked_steps")


class StatefulMethod:
    """The part of `addax.optimizer.Method` that saves, loads, and copies a method."""

    def method_state(self) -> dict[str, Any]:
        """Return the values of `state_attributes` that are not None."""
        values = {name: getattr(self, name) for name in self.state_attributes}
        values["loss_scale"] = self.loss_scale.state_dict() or None
        for name in _COUNTERS:
            # torch.distributed.checkpoint reads the device of a full state from tensors with a dimension.
            values[name] = values[name][None]
        values["noise"] = None if self.noise is None else IMPLEMENTATIONS.index(self.noise)
        return {name: value for name, value in values.items() if value is not None}

    def allocate_state(self, parameters: Iterable[nn.Parameter]) -> None:
        """Allocate the tensors that belong to parameters. The base class only creates an entry for each."""
        for p in parameters:
            self.state[p] = {}

    def publish_state(self) -> None:
        """Write the current state to `opt.state`, and allocate it first if it is empty."""
        if not self.state:
            self.allocate_state(self.indices)
        first = next(p for group in self.param_groups for p in group["params"])
        self.state[first][type(self).__name__] = self.method_state()

    def state_dict(self) -> dict[str, Any]:
        """Return the state in torch's format, which `torch.load(weights_only=True)` reads.

        Later steps do not change its numbers. As in torch, they may change its tensors.
        """
        self.publish_state()
        state = super().state_dict()
        return state | {"state": {k: dict(entry) for k, entry in state["state"].items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state that an optimizer of the same class saved.

        Each tensor is copied once, from where it is (such as a mapped file) to the device of its parameter.

        Raises:
            ValueError: if an optimizer of a different class saved the state, or if it does not fit the model.
                The optimizer is unchanged in this case.
        """
        # The caller's containers stay as they are.
        entries = {k: copy.copy(entry) for k, entry in state_dict.get("state", {}).items()}
        state_dict = state_dict | {"state": entries}
        name = type(self).__name__
        entries = [entry for entry in entries.values() if isinstance(entry, dict)]
        found = [entry for entry in entries if isinstance(entry.get(name), dict)]
        unknown = set(found[0][name]) - {*self.state_attributes, "noise"} if found else set()
        if not found or unknown or not {"steps", "seed", *_COUNTERS} <= set(found[0][name]):
            others = [key for entry in entries for key, value in entry.items() if isinstance(value, dict)]
            raise ValueError(
                f"cannot load this state into {name}: it is from "
                f"{next(iter(others), 'another optimizer or version')}"
                f"{f' and contains {sorted(unknown)}' if unknown else ''}"
            )
        # torch would cast these values to the dtype of the parameter.
        values = copy.deepcopy(found[0].pop(name))
        self._check_noise(values.pop("noise", None), values["steps"])
        saved = self._saved_entries(state_dict)
        values = self.restored(dict.fromkeys(self.state_attributes) | values, saved)
        given = {id(value) for entry in entries for value in entry.values()}
        super().load_state_dict(state_dict)
        # torch copies a tensor only to another device or dtype, and the next step must not write into the
        # caller's tensors.
        for entry in self.state.values():
            for key, value in entry.items():
                if isinstance(value, Tensor) and id(value) in given:
                    entry[key] = value.clone()
        self.loss_scale.load_state_dict(values.pop("loss_scale") or {})
        values |= {counter: values[counter][0] for counter in _COUNTERS}
        for attribute, value in values.items():
            setattr(self, attribute, value)
        self.publish_state()

    def _check_noise(self, saved: int | None, steps: int) -> None:
        """Raise `ValueError` if the steps of a saved state drew other noise than this device's."""
        if steps and None not in (saved, self.noise) and IMPLEMENTATIONS[saved] != self.noise:
            raise ValueError(
                f"the saved steps drew their noise with implementation {IMPLEMENTATIONS[saved]!r}, and this "
                f"device draws other noise, {self.noise!r}: continue on a "
                f"{'CPU' if self.noise == 'philox' else 'CUDA device with triton'}"
            )

    def _saved_entries(self, state_dict: Mapping[str, Any]) -> dict[nn.Parameter, dict[str, Any]]:
        """Return the saved entry of each parameter. Raise `ValueError` if it does not fit the parameter."""
        saved, own = state_dict["param_groups"], self.param_groups
        sizes = [[len(group["params"]) for group in groups] for groups in (saved, own)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"the state has parameter groups of {sizes[0]} parameters, but {type(self).__name__} has "
                f"groups of {sizes[1]}: build it with the model and the groups of the state"
            )
        ids = [i for group in saved for i in group["params"]]
        parameters = [p for group in own for p in group["params"]]
        entries = {p: state_dict["state"].get(i, {}) for i, p in zip(ids, parameters, strict=True)}
        for p, entry in entries.items():
            for key, value in entry.items():
                if isinstance(value, Tensor) and not self.fits(value, p):
                    raise ValueError(
                        f"the saved {key} of parameter {self.names[p]!r} has shape {tuple(value.shape)}, but "
                        f"the parameter has shape {tuple(p.shape)}: load the state's model"
                    )
        return entries

    def fits(self, value: Tensor, p: nn.Parameter) -> bool:
        """Return whether a saved tensor has a shape that the state of a parameter can have."""
        return value.dim() == 0 or value.shape == p.shape

    def restored(
        self, values: dict[str, Any], saved: Mapping[nn.Parameter, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Return the saved values of `state_attributes` in the form that this method needs.

        Args:
            values: the values by name, None if the state has none.
            saved: the saved tensors of each parameter.

        Raises:
            ValueError: if they do not fit the method.
        """
        return values

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes that a copy or a pickle has, which include the model.

        Hooks and patches (a scheduler patches `step`) belong to this object, as in torch. A cached property
        is computed again when it is needed.
        """
        if self.process_group is not None:
            raise TypeError(
                f"a process_group cannot be pickled: save {type(self).__name__}.state_dict() instead"
            )
        return self._copied()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return a copy that steps its own copy of the model, `.model`."""
        memo[id(self.process_group)] = self.process_group
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        other.__setstate__(copy.deepcopy(self._copied(), memo))
        return other

    def _copied(self) -> dict[str, Any]:
        def owned(name: str) -> bool:
            shadowed = getattr(type(self), name, None)
            return not (
                name.startswith("_optimizer_") or callable(shadowed) or isinstance(shadowed, cached_property)
            )

        return {name: value for name, value in vars(self).items() if owned(name)}
