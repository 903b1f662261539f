"""Check a GPU, and measure steps on it against the obvious loop, as table and JSON.

    python benchmarks/device.py [--json FILE]      # on a GPU; begins no part after 7 minutes
    python benchmarks/device.py --tiny                             # on a CPU too

Each part is done in float32 and in bfloat16. A part that fails is reported, and the others run.

- planted: right choices of a search on the planted suite.
- losses: largest difference of the losses of the first steps from those of the CPU in float32,
  divided by the latter. Search and training in the pocket space, on noise. One domain has fewer
  images than a batch.
- resume: files that differ if such a search and training are stopped between two checkpoints and
  then continued. 0: both end as if they had not been stopped, to the bit.
- search, train: steps of the engine and of the obvious loop (`obvious.py`), 32 images per domain:
  searches in a space, trainings of its original network, on noise. The loop has the settings of the
  engine; "torch" names the loop with the defaults of torch, whose results differ from run to run.
  Times are medians of synchronised steps. "GiB" is the peak of the memory of all tensors, "waits"
  the number of calls per step for which the program waits for the device. "busy" is the sum of the
  device's kernels in a step over its time, and "kernels" their number: in the rest of the time the
  device waits for the program. On a CPU the operations of torch are counted.
- graph: a forward and backward pass of a training, captured as a CUDA graph, and the same pass
  without it. "difference" is the largest difference of a gradient, relative to the largest of its
  tensor. It is tried only; if it fails, the line says why.

The program ends with an error if a part fails or a wanted value is missed.
"""

import mpnas_kit as mk  # (before torch: it sets how threads wait)

# isort: split
import argparse
import gc
import json
import math
import statistics
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from obvious import obvious_step
from torch import Tensor

from mpnas_kit.domains.batches import Augment, Drawn, Source, Standard, streams
from mpnas_kit.engine.compute import Precision
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.search.controller import Controllers, ControllerSchedule
from mpnas_kit.search.rewards import Absolute

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}  # of losses, relative


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    planted_steps: steps of the search on the planted suite.
    planted_images: training images per planted domain.
    loss_steps: steps whose losses are compared.
    resume_steps: steps of the runs that are stopped.
    batch: images per domain and step.
    sizes: domains by pixels per side. The first entry is also that of `losses` and `resume`.
    large: the same for spaces around a known network.
    repeats: timed steps.
    search_large: whether searches in these spaces are timed too.
    """

    planted_steps: int = 400
    planted_images: int = 2000
    loss_steps: int = 4
    resume_steps: int = 12
    batch: int = 32
    sizes: Mapping[int, int] = field(default_factory=lambda: {32: 10, 96: 10, 224: 4})
    large: Mapping[int, int] = field(default_factory=lambda: {96: 5, 224: 5})
    repeats: int = 7
    search_large: bool = True


TINY = Scale(3, 200, 2, 3, 12, {16: 2}, {32: 1}, 1, False)
SPACES: Mapping[str, Callable[[int], mk.SearchSpace]] = {
    "pocket": mk.pocket_space,
    "lite0": mk.lite0,
    "MobileNetV3-Large": mk.mobilenet_v3_large_like,
}
LEAST = 8  # training images of the smallest domain of noise
IMAGES = 3  # training images of the others, batches
PATHS = 4  # paths per domain and step that a search rewards


@dataclass
class Line:
    """A line of the table.

    name: what is measured.
    values: the figures, by name.
    wanted: what the first figure should be, in words. Empty: nothing is wanted.
    met: whether it is.
    error: why there are no figures. Empty: there are.
    tried: why there are none of something that is only tried.
    """

    name: str
    values: dict[str, float] = field(default_factory=dict)
    wanted: str = ""
    met: bool = True
    error: str = ""
    tried: str = ""

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in self.values.items())
        text = f"{self.name:40} {self.error or self.tried or figures}"
        if not self.wanted or self.error:
            return text
        return f"{text} (wanted: {self.wanted}; {'met' if self.met else 'MISSED'})"


# Correctness --------------------------------------------------------------------------------------


def planted(device: torch.device, precision: Precision, scale: Scale) -> Line:
    """Search the planted suite."""
    space = mk.planted_space()
    config = mk.SearchConfig(
        steps=scale.planted_steps,
        learning_rate=0.1,
        shift=0,
        prioritization=Uniform(),
        reward=Absolute(beta=0.0),
        device=str(device),
        precision=precision,
    )
    found = mk.search(mk.planted_suite(train=scale.planted_images), space, config)
    choices = [
        a == b
        for i, path in enumerate(found.paths.values())
        for a, b in zip(path.choices, mk.planted_path(space, i).choices, strict=True)
    ]
    wanted = f"{len(choices)} of {len(choices)}" if scale.planted_steps >= 400 else ""
    met = all(choices) or not wanted
    return Line(f"planted {precision}", {"right choices": sum(choices)}, wanted, met)


def losses(device: torch.device, precision: Precision, scale: Scale) -> Line:
    """Compare the losses of the first steps with those of the CPU."""

    def history(device: str, precision: Precision) -> Tensor:
        found: list[float] = []

        def note(event: mk.StepEvent) -> None:
            found.extend(row["loss"] for row in event.rows.values())

        # controllers that do not learn, so that paths do not depend on roundings
        for stage in stages(device, precision, scale, scale.loss_steps, spread=0.0).values():
            stopped(stage, scale.loss_steps, note)
        return torch.tensor(found, dtype=torch.float64)

    ours, exact = history(str(device), precision), history("cpu", "float32")
    largest = float(((ours - exact).abs() / exact).max())
    limit = TOLERANCE[precision]
    return Line(
        f"losses {precision}", {"difference": largest}, f"at most {limit:g}", largest <= limit
    )


def resume(device: torch.device, precision: Precision, scale: Scale) -> Line:
    """Stop a search and a training between two checkpoints, continue, and compare the files."""
    differing = files = 0
    with tempfile.TemporaryDirectory() as place:
        whole, parts = Path(place) / "whole", Path(place) / "parts"
        for name, stage in stages(str(device), precision, scale, scale.resume_steps).items():
            stage(folder=whole / name)
            stopped(partial(stage, folder=parts / name), scale.resume_steps - 1)
            stage(folder=parts / name)
            for file in (*(whole / name).glob("*.safetensors"), *(whole / name).glob("*.npy")):
                files += 1
                differing += file.read_bytes() != (parts / name / file.name).read_bytes()
    assert files >= 3, "a stage wrote no weights"
    return Line(f"resume {precision}", {"files that differ": differing}, "0", differing == 0)


class Stopped(Exception):
    """Ends a stage as a crash of the process would."""


def stopped(
    stage: Callable[..., Any], step: int, callback: Callable[[mk.StepEvent], None] | None = None
) -> None:
    """Run a stage, with a callback, and stop it after a step."""

    def stop(event: mk.StepEvent) -> None:
        if event.step == step:
            raise Stopped

    with suppress(Stopped):
        stage(callbacks=[stop] if callback is None else [callback, stop])


def stages(
    device: str, precision: Precision, scale: Scale, steps: int, spread: float = 1.5
) -> dict[str, Callable[..., Any]]:
    """Return functions that run a search and a training in the pocket space.

    spread: how far the controllers move (`SearchConfig.controller_spread`).
    """
    size, domains = next(iter(scale.sizes.items()))
    suite = noise([*[IMAGES * scale.batch] * (domains - 1), LEAST], size)
    space, generator = mk.pocket_space(size), torch.Generator().manual_seed(0)
    paths = {d: space.sample(generator) for d in suite.names}
    common: dict[str, Any] = {
        "steps": steps,
        "batch_size": scale.batch,
        "checkpoint_every": max(1, steps // 2),
        "device": device,
        "precision": precision,
    }
    searching = mk.SearchConfig(reward_batch=scale.batch, controller_spread=spread, **common)
    return {
        "search": partial(mk.search, suite, space, searching),
        "train": partial(mk.train, suite, space, paths, mk.TrainConfig(**common)),
    }


# Speed --------------------------------------------------------------------------------------------


@dataclass
class Steps:
    """What some steps on a device take.

    seconds: median time of a step.
    memory: peak of the memory of all tensors, GiB; 0 on a CPU.
    waits: calls in one step for which the program waits for the device; 0 on a CPU.
    busy: seconds of all kernels of a step. kernels: their number.
    """

    seconds: float
    memory: float
    waits: float
    busy: float
    kernels: float


class Clock:
    """Measures steps on a device. `tick` is called at the end of every step.

    The first two steps are not timed, nor are the last two, in which kernels and waits are counted.

    repeats: steps that are timed.
    """

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device, self.steps = device, repeats + 4
        self._times: list[float] = []
        self._memory, self._waits = 0.0, 0
        activity = getattr(torch.profiler.ProfilerActivity, device.type.upper(), None)
        self._profiler = None  # torch cannot profile the device
        if activity in torch.profiler.supported_activities():
            self._profiler = torch.profiler.profile(activities=[activity], acc_events=True)

    def tick(self, *_: object) -> None:
        """Note the end of a step."""
        gpu = self.device.type == "cuda"
        if gpu:
            torch.cuda.set_sync_debug_mode("default")
            torch.cuda.synchronize(self.device)
            self._memory = torch.cuda.max_memory_allocated(self.device) / 2**30
        self._times.append(time.perf_counter())
        if self._profiler is not None and len(self._times) == self.steps - 2:
            self._profiler.start()
        if self._profiler is not None and len(self._times) == self.steps - 1:
            self._profiler.stop()
        if gpu and len(self._times) == self.steps - 1:
            torch.cuda.set_sync_debug_mode("warn")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, steps are measured."""
        gpu = self.device.type == "cuda"
        if gpu:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            finally:
                if gpu:
                    torch.cuda.set_sync_debug_mode("default")
        self._waits = sum("synchronizing" in str(w.message) for w in caught)

    def result(self) -> Steps:
        """Return what the steps took."""
        taken = [b - a for a, b in zip(self._times[1:-3], self._times[2:-2], strict=True)]
        busy, kernels = self._kernels()
        return Steps(statistics.median(taken), self._memory, self._waits, busy, kernels)

    def _kernels(self) -> tuple[float, float]:
        """Return seconds and number of the kernels of a step; on a CPU, of torch's operations."""
        if self._profiler is None:
            return math.nan, math.nan
        gpu = self.device.type == "cuda"
        own = [
            event
            for event in self._profiler.events() or ()
            if event.device_type.name == self.device.type.upper() and not event.is_user_annotation
        ]
        micro = sum(e.self_device_time_total if gpu else e.self_cpu_time_total for e in own)
        return micro / 1e6, len(own)


def noise(images: Sequence[int], size: int) -> mk.DomainSuite:
    """Return a suite of random images in two classes.

    images: training images of every domain. size: pixels per side.
    """
    generator = torch.Generator().manual_seed(0)

    def split(count: int) -> mk.TensorSplit:
        pixels = torch.randint(256, (count, 3, size, size), generator=generator)
        return mk.TensorSplit(pixels.to(torch.uint8), torch.arange(count) % 2)

    domains = [
        mk.Domain(f"noise{i}", ("even", "odd"), split(count), split(LEAST), split(LEAST))
        for i, count in enumerate(images)
    ]
    return mk.DomainSuite(domains, "noise")


@dataclass(frozen=True)
class Case:
    """Steps that are timed.

    name: `search` or `train`. space: key of `SPACES`. size: pixels per side. domains: their number.
    """

    name: str
    space: str
    size: int
    domains: int

    def __str__(self) -> str:
        return f"{self.name} {self.space} {self.size} px"

    def suite(self, scale: Scale) -> mk.DomainSuite:
        """Return the images."""
        return noise([IMAGES * scale.batch] * self.domains, self.size)

    def built(self) -> tuple[mk.SearchSpace, mk.Path]:
        """Return the space and the path that a training has in all domains."""
        space = SPACES[self.space](self.size)
        return space, space.original or space.sample(torch.Generator().manual_seed(0))


def cases(scale: Scale) -> list[Case]:
    """Return what is timed, in order."""
    found = []
    for size, domains in scale.sizes.items():
        found.append(Case("search", "pocket", size, domains))
        found.append(Case("train", "MobileNetV3-Large", size, domains))
    for size, domains in scale.large.items():
        found.append(Case("train", "lite0", size, domains))
        if scale.search_large:
            found += [Case("search", s, size, domains) for s in ("lite0", "MobileNetV3-Large")]
    return found


def steps(case: Case, device: torch.device, precision: Precision, scale: Scale) -> Line:
    """Measure steps of the engine and of the loop."""
    name, suite = case.name, case.suite(scale)
    engine = engine_steps(case, suite, device, precision, scale)
    with reproducible(None, case.size):
        loop = loop_steps(case, suite, device, precision, scale)
    default = loop_steps(case, suite, device, precision, scale)
    images = scale.batch * len(suite) * (1 if name == "train" else 1 + PATHS)
    return Line(
        f"{case} {precision}",
        {
            "loop over engine": loop.seconds / engine.seconds,
            "torch over engine": default.seconds / engine.seconds,
            "images/s": images / engine.seconds,
            "ms": 1000 * engine.seconds,
            "busy": engine.busy / engine.seconds,
            "kernels": engine.kernels,
            "GiB": engine.memory,
            "GiB of the loop": loop.memory,
            "waits": engine.waits,
            "waits of the loop": loop.waits,
        },
    )


def engine_steps(
    case: Case, suite: mk.DomainSuite, device: torch.device, precision: Precision, scale: Scale
) -> Steps:
    """Measure steps of the engine."""
    clock = Clock(device, scale.repeats)
    common: dict[str, Any] = {
        "steps": clock.steps,
        "batch_size": scale.batch,
        "prioritization": Uniform(),
        "device": str(device),
        "precision": precision,
    }
    run: Callable[..., Any]
    space, path = case.built()
    if case.name == "search":
        config = mk.SearchConfig(
            reward_batch=scale.batch,
            paths_per_step=PATHS,
            warmup_share=0.0,
            controller_delay=0.0,
            **common,
        )
        run = partial(mk.search, suite, space, config)
    else:
        paths = dict.fromkeys(suite.names, path)
        run = partial(mk.train, suite, space, paths, mk.TrainConfig(**common))
    with clock.running():
        stopped(run, clock.steps, clock.tick)  # the time after the last step is not measured
    return clock.result()


def loop_steps(
    case: Case, suite: mk.DomainSuite, device: torch.device, precision: Precision, scale: Scale
) -> Steps:
    """Measure steps of the obvious loop, on network input that is drawn as in the engine."""
    generator, clock = torch.Generator().manual_seed(0), Clock(device, scale.repeats)
    draws = streams(
        {d.name: Source(d.train, Standard.of(d)) for d in suite}, scale.batch, 0, Augment()
    )
    tasks, searched = suite.tasks, case.name == "search"
    space, path = case.built()
    if searched:
        net = MultiPathNet.supernet(
            space, tasks, "per_domain", 0, collapse=mk.SearchConfig().collapse
        )
    else:
        net = MultiPathNet.of_paths(space, dict.fromkeys(suite.names, path), tasks, "per_domain", 0)
    net.to(device)
    optimiser = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, nesterov=True)
    policies = Controllers(space, suite.names, ControllerSchedule(0, 10, 1.5), clock.steps)

    def batches() -> dict[str, tuple[Tensor, Tensor]]:
        return {d: stream.next().take(device=device) for d, stream in draws.items()}

    def sample(count: int) -> dict[str, list[mk.Path]]:
        return policies.sample(suite.names, count, generator)

    def forward(domain: str, images: Tensor, path: mk.Path) -> Tensor:
        return net([mk.Flow(domain, images, path)])[0]

    with clock.running():
        for step in range(clock.steps):
            sampled = sample(PATHS) if searched else {}
            chosen = dict.fromkeys(suite.names, path)
            if searched:
                chosen = {d: drawn[0] for d, drawn in sample(1).items()}
            rewarded = batches() if searched else {}
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                found = obvious_step(
                    forward, tasks, optimiser, batches(), chosen, rewarded, sampled, 0.1
                )
            if searched:
                rewards = {d: torch.tensor(q, dtype=torch.float64) for d, q in found.items()}
                policies.update(step, sampled, rewards)
            clock.tick()
    return clock.result()


def graph(case: Case, device: torch.device, precision: Precision, scale: Scale) -> Line:
    """Capture a forward and backward pass of a training as a CUDA graph, and time both."""
    line = Line(f"graph {case} {precision}")
    if device.type != "cuda":
        line.tried = "not tried: CUDA graphs need a GPU"
        return line
    try:
        with reproducible(None, case.size):
            line.values = _graph(case, device, precision, scale)
    except Exception as error:  # a capture may fail in many ways
        line.tried = f"failed: {next(iter(str(error).splitlines()), type(error).__name__)}"
    return line


def _graph(
    case: Case, device: torch.device, precision: Precision, scale: Scale
) -> dict[str, float]:
    """Return the figures of `graph`."""
    suite, (space, path) = case.suite(scale), case.built()
    paths = dict.fromkeys(suite.names, path)
    net = MultiPathNet.of_paths(space, paths, suite.tasks, "per_domain", 0).to(device)
    batches = {
        d.name: Drawn(Source(d.train, Standard.of(d)), torch.arange(scale.batch), None).take(
            device=device
        )
        for d in suite
    }
    flows = [mk.Flow(d, images, path) for d, (images, _) in batches.items()]
    labels = [labels for _, labels in batches.values()]

    def both_passes() -> None:
        net.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, precision == "bfloat16", cache_enabled=False):
            outputs = net(flows)
        losses = [
            suite.tasks[flow.domain].loss(x.float(), own, 0.1)
            for flow, x, own in zip(flows, outputs, labels, strict=True)
        ]
        torch.stack(losses).sum().backward()

    def gradients() -> list[Tensor]:
        return [p.grad.clone() for p in net.parameters() if p.grad is not None]

    def median_seconds(call: Callable[[], None]) -> float:
        taken = []
        for _ in range(scale.repeats):
            torch.cuda.synchronize(device)
            began = time.perf_counter()
            call()
            torch.cuda.synchronize(device)
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)

    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):  # as torch demands before a capture
        for _ in range(3):
            both_passes()
    torch.cuda.current_stream(device).wait_stream(side)
    plain, expected = median_seconds(both_passes), gradients()
    captured = torch.cuda.CUDAGraph()
    net.zero_grad(set_to_none=True)
    with torch.cuda.graph(captured):
        both_passes()
    replayed = median_seconds(captured.replay)
    differences = [
        float((a - b).abs().max() / a.abs().max().clamp_min(1e-12))
        for a, b in zip(expected, gradients(), strict=True)
    ]
    return {
        "plain over graph": plain / replayed,
        "images/s": scale.batch * len(suite) / replayed,
        "ms": 1000 * replayed,
        "difference": max(differences),
    }


# All parts ----------------------------------------------------------------------------------------

Part = Callable[[torch.device, Precision, Scale], Line]


def parts(scale: Scale) -> list[tuple[str, Part]]:
    """Return all parts and their names. What shows faults comes first."""
    every = cases(scale)
    timed = [(str(case), partial(steps, case)) for case in every]
    graphs = [
        (f"graph {case}", partial(graph, case)) for case in every if case.name == "train"
    ]  # last, because a capture that fails may disturb what follows
    return [("planted", planted), ("losses", losses), ("resume", resume), *timed, *graphs]


def run(device: torch.device, scale: Scale, until: float) -> list[Line]:
    """Run all parts and print their lines.

    until: time of `time.monotonic` from which no further part is begun.
    """
    lines = []
    for name, part in parts(scale):
        for precision in PRECISIONS:
            try:
                if time.monotonic() >= until:
                    raise TimeoutError("not begun, because the time is over")
                line = part(device, precision, scale)
            except Exception as error:  # the other parts must run, whatever this one raises
                if not isinstance(error, TimeoutError):
                    traceback.print_exc()
                first = next(iter(str(error).splitlines()), "")
                line = Line(f"{name} {precision}", error=f"{type(error).__name__}: {first}")
            print(line, flush=True)
            lines.append(line)
    return lines


def card(device: torch.device) -> str:
    """Return the name of a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="name in torch (default: cuda; with --tiny: any)")
    parser.add_argument("--tiny", action="store_true", help="few steps of small parts")
    parser.add_argument("--minutes", type=float, default=7.0, help="begin no part after so long")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        device = mk.device_named(given.device or (None if given.tiny else "cuda"))
    except mk.MpnasError as error:
        sys.exit(f"{error} Use --tiny to check this program on a CPU.")
    print(f"{card(device)}, torch {torch.__version__}", flush=True)
    lines = run(device, TINY if given.tiny else Scale(), began + 60 * given.minutes)
    if given.json is not None:
        figures = {
            "device": card(device),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "seconds": time.monotonic() - began,
            "lines": [asdict(line) for line in lines],
        }
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    if not all(line.met and not line.error for line in lines):
        sys.exit("A part failed, or a wanted value is missed (see above).")


if __name__ == "__main__":
    main()
