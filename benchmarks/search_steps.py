"""Search steps: of the engine, and of loops on the same batches and paths."""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

import torch
from obvious import Forward, obvious_step, one_by_one
from peers import JacobianMean, PlainNet, nni_net
from ratios import Ratio, Times, Unavailable, timed, turns
from torch import Tensor, nn

from mpnas_kit.domains.pocket_suite import POCKET_DOMAINS, pocket
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.loop import identity
from mpnas_kit.engine.stage_folder import Contents, StageFolder
from mpnas_kit.kernels.library import find_library
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.runs.profiles import COST, PLAIN
from mpnas_kit.search.config import SearchConfig, resolve_targets
from mpnas_kit.search.data import divide
from mpnas_kit.search.stage import _Search
from mpnas_kit.space import strips
from mpnas_kit.space.blocks import InvertedBottleneck
from mpnas_kit.space.layers import Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.spaces import pocket_space

Rows = dict[str, dict[str, Ratio]]
"""Values by row of the table and by measure, such as `cpu`; one value per repeat."""
FORMATS = {"": torch.contiguous_format, " channels-last": torch.channels_last}
STILL = 1e-9  # spread of controllers that do their work and stay where they are


@dataclass(frozen=True)
class Size:
    """How much is measured. Tests measure less.

    repeats: ratios per line.
    steps: search steps per time.
    images: images per domain and batch of a search step.
    domains: names of pocket domains.
    many: domains of the line `domains`.
    candidates: the two numbers of candidates of the line `candidates`.
    pixels: resolutions of the lines with MobileNetV3-Large.
    matrix: rows of the square matrix whose product gives the speed of a core.
    """

    repeats: int = 7
    steps: int = 3
    images: int = 32
    domains: tuple[str, ...] = POCKET_DOMAINS
    many: int = 80
    candidates: tuple[int, int] = (4, 64)
    pixels: tuple[int, ...] = (32, 96, 128, 224)
    matrix: int = 1024


def use_kernels(net: MultiPathNet, kernels: str) -> None:
    """Let a network run its blocks with `native` or `eager` kernels; `auto`: as the kit chooses.

    Raises `Unavailable` if the kit has no native kernels here.
    """
    if kernels == "eager":
        net.kernels = None
        return
    net.kernels = find_library()
    if kernels == "native" and net.kernels is None:
        raise Unavailable("there are no native kernels here")


@contextmanager
def torch_gradients() -> Iterator[None]:
    """Inside, eager depthwise convolutions have torch's own gradients."""
    strip = strips._STRIP
    strips._STRIP = 1 << 30
    try:
        yield
    finally:
        strips._STRIP = strip


@dataclass
class Drawn:
    """Paths that a step of the engine took.

    trained: path of every domain that was trained.
    sampled: paths of every domain that were measured for their rewards.
    """

    trained: dict[str, Path] = field(default_factory=dict)
    sampled: dict[str, list[Path]] = field(default_factory=dict)

    def add(self, flows: Iterable[Flow]) -> None:
        """Add the flows of a forward pass."""
        for flow in flows:
            assert isinstance(flow.path, Path)
            if torch.is_grad_enabled():
                self.trained[flow.domain] = flow.path
            else:
                self.sampled.setdefault(flow.domain, []).append(flow.path)


class Steps:
    """Steps of a search on pocket domains after its warm-up.

    The controllers learn so slowly that all choices stay equally likely. So the n-th steps of two
    searches draw the same paths. No step draws those of an earlier one, as in a search.

    space: search space; None: the pocket space.
    kernels: `native`, `eager` or `auto`.
    settings: fields of `SearchConfig`.

    Attribute: `drawn` has the paths of the last call of `engine`, one item per step.
    """

    def __init__(
        self,
        size: Size,
        space: LayerwiseSpace | None = None,
        kernels: str = "auto",
        **settings: Any,
    ) -> None:
        self.size, self.space = size, space or pocket_space()
        self.config = SearchConfig(
            batch_size=size.images,
            reward_batch=size.images,
            prioritization=Uniform(),
            controller_spread=STILL,
            **settings,
        )
        self.suite, config = pocket(size.domains), self.config
        parts = divide(self.suite, config.reward_share, config.seed)
        targets = resolve_targets(self.space, config, self.suite.names)
        nothing = (None, None, None)  # no start, no frozen network, no folder
        self.stage = _Search(parts, self.space, config, targets, *nothing, Compute())
        self.tasks = self.suite.tasks
        use_kernels(self.stage.net, kernels)
        self.drawn: list[Drawn] = []
        self._seeds = itertools.count()

    def step(self, progress: float = 0.6) -> None:
        """Do the next step. progress: share of the search before it, 0 to 1."""
        self.stage.generator.manual_seed(next(self._seeds))
        self.stage.step = int(progress * self.config.steps)
        self.stage.advance()

    def engine(self) -> None:
        """Do some steps, and note their paths."""
        self.drawn = []
        hook = self.stage.net.register_forward_pre_hook(
            lambda _, given: self.drawn[-1].add(given[0])
        )
        for _ in range(self.size.steps):
            self.drawn.append(Drawn())
            self.step()
        hook.remove()

    def batches(self, rewards: bool, memory_format: torch.memory_format) -> Any:
        """Return the next batch of every domain: images and labels."""
        streams = self.stage.reward_streams if rewards else self.stage.streams
        taken = {d: stream.next().take() for d, stream in streams.items()}
        return {d: (x.contiguous(memory_format=memory_format), y) for d, (x, y) in taken.items()}


class Loop:
    """The obvious loop on a network, with the paths of the engine's last steps.

    It has no controllers and no costs. So it does a little less than a step of the engine.

    steps: steps of the engine.
    net: network. forward: its forward pass.
    memory_format: of images and kernels.
    backward: backward pass of the losses of all domains.
    """

    def __init__(
        self,
        steps: Steps,
        net: nn.Module,
        forward: Forward,
        memory_format: torch.memory_format,
        backward: Callable[[Iterable[Tensor]], None] = one_by_one,
    ) -> None:
        net.to(memory_format=memory_format)
        self.steps, self.forward, self.backward = steps, forward, backward
        self.memory_format = memory_format
        config = steps.config
        self.optimiser = torch.optim.SGD(
            net.parameters(),
            0.01,
            config.momentum,
            weight_decay=config.weight_decay,
            nesterov=True,
            foreach=True,
        )

    def run(self) -> None:
        """Do as many steps as the engine did, with other batches and the same paths."""
        for drawn in self.steps.drawn:
            with torch_gradients():
                obvious_step(
                    self.forward,
                    self.steps.tasks,
                    self.optimiser,
                    self.steps.batches(False, self.memory_format),
                    drawn.trained,
                    self.steps.batches(True, self.memory_format),
                    drawn.sampled,
                    self.steps.config.label_smoothing,
                    self.backward,
                )


def obvious_loop(steps: Steps, memory_format: torch.memory_format) -> Loop:
    """Return the loop on a network of the kit with eager kernels."""
    config = steps.config
    net = MultiPathNet.supernet(
        steps.space, steps.tasks, config.norm, config.seed, config.private, config.collapse
    )
    use_kernels(net, "eager")

    def forward(domain: str, images: Tensor, path: Path) -> Tensor:
        return net([Flow(domain, images, path)])[0]

    return Loop(steps, net, forward, memory_format)


def step(size: Size) -> Rows:
    """Measure the obvious loop over the engine."""
    return _step(size, "step", "auto")


def step_eager(size: Size) -> Rows:
    """Measure the obvious loop over the engine with eager kernels."""
    return _step(size, "step eager", "eager")


def _step(size: Size, name: str, kernels: str) -> Rows:
    steps = Steps(size, kernels=kernels)
    loops = {name + suffix: obvious_loop(steps, form) for suffix, form in FORMATS.items()}
    return {row: turns(loop.run, steps.engine, size.repeats) for row, loop in loops.items()}


def kernels(size: Size) -> Rows:
    """Measure the engine with eager kernels over the engine with native ones."""
    eager, native = (Steps(size, kernels=k) for k in ("eager", "native"))
    return {"kernels": turns(eager.engine, native.engine, size.repeats)}


def plain(size: Size) -> Rows:
    """Measure the loop on a network in plain torch over the engine."""
    return _peer(size, "plain", PlainNet)


def nni(size: Size) -> Rows:
    """Measure the loop on a supernet of nni over the engine."""
    return _peer(size, "nni", nni_net)


def _peer(size: Size, name: str, build: Callable[..., nn.Module]) -> Rows:
    steps, rows = Steps(size), {}
    for suffix, memory_format in FORMATS.items():
        net = build(steps.space, steps.tasks)
        loop = Loop(steps, net, net, memory_format)
        rows[name + suffix] = turns(loop.run, steps.engine, size.repeats)
    return rows


def torchjd(size: Size) -> Rows:
    """Measure the loop in plain torch, with the Jacobian of torchjd, over the engine."""
    steps = Steps(size)
    net = PlainNet(steps.space, steps.tasks)
    loop = Loop(steps, net, net, torch.contiguous_format, JacobianMean(net))
    return {"torchjd": turns(loop.run, steps.engine, size.repeats)}


@dataclass(frozen=True)
class Twin(InvertedBottleneck):
    """A block that differs from its twins in the name only.

    twin: number of the twin.
    """

    twin: int = 0

    @property
    def name(self) -> str:
        """Name of the block and number of the twin."""
        return f"{super().name}t{self.twin}"


def twins(candidates: int, offered: int | None = None) -> LayerwiseSpace:
    """Return the pocket space with `candidates` twins of one block in every searched layer.

    offered: number of them that a path may choose; None: all.
    """
    blocks = tuple(Twin(5, 2, twin=i) for i in range(candidates))
    layers = [
        layer if len(layer.candidates) == 1 else replace(layer, candidates=blocks)
        for layer in pocket_space().layers
    ]
    space = LayerwiseSpace(f"twins{candidates}", layers, 32)
    space.decisions = tuple(replace(d, choices=d.choices[:offered]) for d in space.decisions)
    return space


def candidates(size: Size) -> Rows:
    """Measure a step with many candidates over one with few."""
    few, many = size.candidates
    size = replace(size, steps=2 * size.steps)  # numbers of flows per node vary between steps
    some, lots, met = (Steps(size, twins(*n)) for n in ((few,), (many,), (many, few)))
    return {
        "candidates": turns(lots.engine, some.engine, size.repeats),
        "candidates met": turns(met.engine, some.engine, size.repeats),
    }


def inputs(size: Size) -> Rows:
    """Measure drawing and augmenting the batches of a step over the step."""
    steps = Steps(size)

    def draw() -> None:
        for _ in range(size.steps):
            for rewards in (False, True):
                steps.batches(rewards, torch.channels_last)

    return {"input": turns(draw, steps.engine, size.repeats)}


def checkpoint(size: Size) -> Rows:
    """Measure a checkpoint over the steps from one to the next."""
    steps = Steps(size)
    steps.engine()
    share = size.steps / steps.config.checkpoint_every
    with tempfile.TemporaryDirectory() as place:
        contents = Contents(
            {**identity("search", steps.suite, steps.space, []), "config": {}},
            steps.stage.compute.variant,
        )
        folder = StageFolder.open(FilePath(place) / "run", contents)
        try:
            found = turns(
                lambda: steps.stage.checkpoint(folder), steps.engine, size.repeats, scale=share
            )
        finally:
            folder.close()
    return {"checkpoint": found}


def full(size: Size) -> Rows:
    """Measure the parts of a pocket search by the supernet alone, and from them its minutes.

    A step of the warm-up is the mean over four stages of it. Later steps are measured with all
    choices equally likely, and take less when the policies become certain.
    """
    settings = {**COST, **PLAIN, "paths_per_step": 8}
    del settings["controller_spread"]  # the policies stay as they are
    steps = Steps(size, **settings)
    config = steps.config
    warming = [config.warmup_share * x for x in (0.125, 0.375, 0.625, 0.875)]
    parts: dict[str, list[Times]] = {"full warm-up step": [], "full step": []}
    steps.step()
    steps.step(warming[0])
    for _ in range(size.repeats):
        for row, moments in zip(parts, (warming, [0.6] * size.steps), strict=True):
            every = [timed(lambda x=x: steps.step(x)) for x in moments]
            means = (sum(clock) / len(every) for clock in zip(*every, strict=True))
            parts[row].append(Times(*means))
    rows = {
        row: {f"{clock} s": [getattr(t, clock) for t in times] for clock in Times._fields}
        for row, times in parts.items()
    }
    early = config.warmup_share * config.steps
    rows["full"] = {
        f"{clock} min": [
            (early * one + (config.steps - early) * other) / 60
            for one, other in zip(*(rows[row][f"{clock} s"] for row in parts), strict=True)
        ]
        for clock in Times._fields
    }
    return rows
