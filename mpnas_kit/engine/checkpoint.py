"""Whether the state in a checkpoint fits a stage, before any of it is loaded."""

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from mpnas_kit.settings import require


def misfit(found: Any, like: Any, free: Collection[str] = (), where: str = "state") -> str | None:
    """Return in words the first place where a state differs in form from another, or None.

    The form is the keys, the types of the values, and the shapes of the tensors. All numbers must
    be finite.

    found: state of a checkpoint.
    like: state of a stage with the same config.
    free: patterns such as `state.streams.*.order`. What they match grows with the steps, so only
    its type and its numbers are checked.
    where: name of the place, for the answer.

    >>> misfit({"net": {}}, {"net": {"weight": torch.zeros(2)}})
    'state.net lacks weight'
    """
    if _family(found) is not _family(like):
        return f"{where} is {_kind(found)}, not {_kind(like)}"
    if any(fnmatchcase(where, f"state.{pattern}") for pattern in free):
        return _not_finite(found, where)
    if isinstance(like, Tensor):
        if (found.dtype, found.shape) != (like.dtype, like.shape):
            return f"{where} is {_kind(found)}, not {_kind(like)}"
        return _not_finite(found, where)
    if isinstance(like, dict):
        for lacking in (k for k in like if k not in found):
            return f"{where} lacks {lacking}"
        for unknown in (k for k in found if k not in like):
            return f"{where} has {unknown!r}, which is unknown"
        inside = ((f"{where}.{k}", found[k], like[k]) for k in like)
    elif isinstance(like, list | tuple):
        if len(found) != len(like):
            return f"{where} has {len(found)} items, not {len(like)}"
        inside = ((f"{where}.{i}", f, k) for i, (f, k) in enumerate(zip(found, like, strict=True)))
    else:
        return _not_finite(found, where)
    return next((m for place, f, k in inside if (m := misfit(f, k, free, place))), None)


def load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load the state of an optimiser, after its shapes have been compared with the weights.

    Raises `MpnasError` if it is the state of other weights. torch would notice in the next step.
    """
    weights = [w for group in optimiser.param_groups for w in group["params"]]
    for index, moments in state["state"].items():
        require(
            isinstance(index, int) and 0 <= index < len(weights) and isinstance(moments, dict),
            f"the optimiser has a state of weight {index!r}, but there are {len(weights)} weights",
        )
        for name, value in moments.items():
            fits = not isinstance(value, Tensor) or value.shape in ((), weights[index].shape)
            require(fits, f"the optimiser's {name} of weight {index} has another shape")
    optimiser.load_state_dict(state)


def _not_finite(found: Any, where: str) -> str | None:
    """Return in words the first number inside `found` that is not finite, or None."""
    if isinstance(found, Tensor):
        finite = not found.is_floating_point() or bool(torch.isfinite(found).all())
        return None if finite else f"{where} has numbers that are not finite"
    if isinstance(found, float):
        return None if abs(found) < float("inf") else f"{where} is {found}"
    if isinstance(found, dict | list | tuple):
        items = found.items() if isinstance(found, dict) else enumerate(found)
        return next((m for k, v in items if (m := _not_finite(v, f"{where}.{k}"))), None)
    return None


def _family(value: Any) -> type:
    """Return the type that a value has in a checkpoint. A whole number may stand for a number."""
    families = (bool, int, float, str, dict, list, tuple, Tensor)
    found = next((f for f in families if isinstance(value, f)), type(value))
    return float if found is int else found


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return type(value).__name__
