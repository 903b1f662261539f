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
  searches in the pocket space, trainings of MobileNetV3-Large, on noise. The loop has the settings
  of the engine; "torch" names the loop with the defaults of torch, whose results differ from run to
  run. Times are medians of synchronised steps. "GiB" is the peak of the memory of all tensors,
  "waits" the number of calls per step for which the program waits for the device.

The program ends with an error if a part fails or a wanted value is missed.
"""

import mpnas_kit as mk  # (before torch: it sets how threads wait)

# isort: split
import argparse
import gc
import json
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

from mpnas_kit.domains.batches import Augment, Source, Standard, streams
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
    repeats: timed steps.
    """

    planted_steps: int = 400
    planted_images: int = 2000
    loss_steps: int = 4
    resume_steps: int = 12
    batch: int = 32
    sizes: Mapping[int, int] = field(default_factory=lambda: {32: 10, 96: 10, 224: 4})
    repeats: int = 7


TINY = Scale(3, 200, 2, 3, 12, {16: 2}, 1)
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
    """

    name: str
    values: dict[str, float] = field(default_factory=dict)
    wanted: str = ""
    met: bool = True
    error: str = ""

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in self.values.items())
        text = f"{self.name:24} {self.error or figures}"
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
    """

    seconds: float
    memory: float
    waits: float


class Clock:
    """Measures steps on a device. `tick` is called at the end of every step.

    The first two steps are not timed, nor is the last one, in which waits are counted.

    repeats: steps that are timed.
    """

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device, self.steps = device, repeats + 3
        self._times: list[float] = []
        self._memory, self._waits = 0.0, 0

    def tick(self, *_: object) -> None:
        """Note the end of a step."""
        gpu = self.device.type == "cuda"
        if gpu:
            torch.cuda.set_sync_debug_mode("default")
            torch.cuda.synchronize(self.device)
            self._memory = torch.cuda.max_memory_allocated(self.device) / 2**30
        self._times.append(time.perf_counter())
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
        taken = [b - a for a, b in zip(self._times[1:-2], self._times[2:-1], strict=True)]
        return Steps(statistics.median(taken), self._memory, self._waits)


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


def steps(name: str, size: int, device: torch.device, precision: Precision, scale: Scale) -> Line:
    """Measure steps of the engine and of the loop.

    name: `search` or `train`. size: pixels per side.
    """
    suite = noise([IMAGES * scale.batch] * scale.sizes[size], size)
    engine = engine_steps(name, suite, device, precision, scale)
    with reproducible(None, size):
        loop = loop_steps(name, suite, device, precision, scale)
    default = loop_steps(name, suite, device, precision, scale)
    images = scale.batch * len(suite) * (1 if name == "train" else 1 + PATHS)
    return Line(
        f"{name} {size} px {precision}",
        {
            "loop over engine": loop.seconds / engine.seconds,
            "torch over engine": default.seconds / engine.seconds,
            "images/s": images / engine.seconds,
            "ms": 1000 * engine.seconds,
            "GiB": engine.memory,
            "GiB of the loop": loop.memory,
            "waits": engine.waits,
            "waits of the loop": loop.waits,
        },
    )


def engine_steps(
    name: str, suite: mk.DomainSuite, device: torch.device, precision: Precision, scale: Scale
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
    if name == "search":
        config = mk.SearchConfig(
            reward_batch=scale.batch,
            paths_per_step=PATHS,
            warmup_share=0.0,
            controller_delay=0.0,
            **common,
        )
        run = partial(mk.search, suite, mk.pocket_space(suite.resolution), config)
    else:
        space = mk.mobilenet_v3_large(suite.resolution)
        paths = dict.fromkeys(suite.names, space.parse(""))
        run = partial(mk.train, suite, space, paths, mk.TrainConfig(**common))
    with clock.running():
        stopped(run, clock.steps, clock.tick)  # the time after the last step is not measured
    return clock.result()


def loop_steps(
    name: str, suite: mk.DomainSuite, device: torch.device, precision: Precision, scale: Scale
) -> Steps:
    """Measure steps of the obvious loop, on network input that is drawn as in the engine."""
    generator, clock = torch.Generator().manual_seed(0), Clock(device, scale.repeats)
    draws = streams(
        {d.name: Source(d.train, Standard.of(d)) for d in suite}, scale.batch, 0, Augment()
    )
    tasks, searched = suite.tasks, name == "search"
    if searched:
        space = mk.pocket_space(suite.resolution)
        net = MultiPathNet.supernet(
            space, tasks, "per_domain", 0, collapse=mk.SearchConfig().collapse
        )
    else:
        space = mk.mobilenet_v3_large(suite.resolution)
        paths = dict.fromkeys(suite.names, space.parse(""))
        net = MultiPathNet.of_paths(space, paths, tasks, "per_domain", 0)
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


# All parts ----------------------------------------------------------------------------------------

Part = Callable[[torch.device, Precision, Scale], Line]


def parts(scale: Scale) -> list[tuple[str, Part]]:
    """Return all parts and their names. What shows faults comes first."""
    timed = [
        (f"{name} {size} px", partial(steps, name, size))
        for size in scale.sizes
        for name in ("search", "train")
    ]
    return [("planted", planted), ("losses", losses), ("resume", resume), *timed]


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
