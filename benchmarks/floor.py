"""How far a search step is from what its arithmetic takes, and where its time goes."""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import cProfile
import pstats
from collections.abc import Callable, Iterable
from typing import Any

import torch
from ratios import Times, over, timed
from search_steps import Drawn, Rows, Size, Steps
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from mpnas_kit.space.layers import Path
from mpnas_kit.space.layerwise import LayerwiseSpace

COUNTED = ("conv", "batch_norm", "hardswish", "relu", "hardsigmoid")
KINDS = {
    "native kernels": ("mpnas_kit/kernels/",),
    "convolutions forward": ("method torch.conv2d",),
    "backward": ("run_backward", "convolution_backward"),
    "batch norms forward": ("method torch.batch_norm",),
    "activations forward": ("hardswish", "method relu", "hardsigmoid"),
    "copies": ("method torch.cat", "contiguous", "copy_", "pad}"),
}
OTHER = ("other calls into torch", "Python")


def floor(size: Size) -> Rows:
    """Measure a step over its arithmetic at the speed of a large matrix product."""
    steps, matrix = Steps(size), torch.randn(size.matrix, size.matrix)
    reached = size.matrix**3  # multiply-adds of a product
    pairs = []
    for _ in range(size.repeats + 1):
        product = timed(lambda: torch.mm(matrix, matrix), size.steps)
        step = timed(steps.engine)
        needed = sum(multiply_adds(steps.space, drawn, size.images) for drawn in steps.drawn)
        least = (seconds * needed / (size.steps * reached) for seconds in product)
        pairs.append((step, Times(*least)))
    return {"floor": over(pairs[1:])}


def multiply_adds(space: LayerwiseSpace, drawn: Drawn, images: int) -> float:
    """Return the multiply-adds of the forward and backward passes of a step, without classifiers.

    A backward pass takes twice as many as its forward pass. Paths of a domain that begin with the
    same blocks need these only once.

    images: images per domain, of a training batch and of a reward batch.
    """
    trained = sum(_distinct(space, [path]) for path in drawn.trained.values())
    sampled = sum(_distinct(space, paths) for paths in drawn.sampled.values())
    return float(images * (3 * trained + sampled))


def _distinct(space: LayerwiseSpace, paths: Iterable[Path]) -> int:
    """Return the multiply-adds of paths on the same image, with equal beginnings counted once."""
    costs: dict[Any, int] = {}
    for path in paths:
        begin: tuple[Any, ...] = ()
        for use in filter(None, space.uses(path)):
            begin = (*begin, use.node)
            costs[begin] = use.cost.multiply_adds
    return sum(costs.values())


def torch_floor(size: Size) -> Rows:
    """Measure a step over the sum of torch's kernels in an eager step, each measured alone."""
    steps, eager = Steps(size), Steps(size, kernels="eager")
    steps.engine()
    eager.engine()
    found = [timed(steps.engine).cpu / kernel_seconds(eager.engine) for _ in range(size.repeats)]
    return {"floor torch": {"cpu": found}}


class _Record(TorchDispatchMode):
    """Record the calls that count for the floor: one per kind and shapes, and their number."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[Any, list[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(name in func._schema.name for name in COUNTED):
            shapes = [
                (tuple(x.shape), x.stride()) if isinstance(x, torch.Tensor) else x
                for x in tree_leaves((args, kwargs or {}))
            ]
            entry = self.calls.setdefault((func, str(shapes)), [0, args, kwargs or {}])
            entry[0] += 1
        return func(*args, **(kwargs or {}))


def kernel_seconds(step: Callable[[], None]) -> float:
    """Return the sum of the best processor times of the counted calls of a step, each alone."""
    with _Record() as record:
        step()
    total = 0.0
    with torch.no_grad():
        for (func, _), (count, args, kwargs) in record.calls.items():
            args, kwargs = tree_map(
                lambda x: x.detach() if isinstance(x, torch.Tensor) else x, (args, kwargs)
            )
            total += count * min(
                timed(lambda f=func, a=args, k=kwargs: f(*a, **k)).cpu for _ in range(11)
            )
    return total


def shares(size: Size) -> dict[str, float]:
    """Return the shares of the time of a search step by kind of call.

    Python's profiler measures them; it makes a step a few percent slower.
    """
    steps = Steps(size)
    steps.engine()
    return shares_of(steps.engine)


def shares_of(step: Callable[[], object]) -> dict[str, float]:
    """Return the shares of the time of a call, as `shares` does."""
    profiler = cProfile.Profile()
    profiler.runcall(step)
    stats: Any = pstats.Stats(profiler)
    found = dict.fromkeys([*KINDS, *OTHER], 0.0)
    for (file, _, name), (_, _, own, _, _) in stats.stats.items():
        default = OTHER[file != "~"]
        kinds = (k for k, names in KINDS.items() if any(n in f"{file}:{name}" for n in names))
        found[next(kinds, default)] += own
    return {kind: taken / sum(found.values()) for kind, taken in found.items()}
