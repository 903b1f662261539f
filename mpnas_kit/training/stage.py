"""The training stage: the union of the domains' paths, from scratch, on all training data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import pandas as pd
import safetensors.torch
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from mpnas_kit.domains.batches import Augment, DrawSchedule, Source, Standard, streams
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.engine.compute import Compute, Precision
from mpnas_kit.engine.loop import Callback, Stage, describe
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.engine.stage_folder import RunFolder, at_work
from mpnas_kit.engine.step import learning_rate, set_rate, sgd, weighted_step
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.network.norms import Norm
from mpnas_kit.prioritization.abdp import ABDP
from mpnas_kit.prioritization.methods import Prioritization
from mpnas_kit.settings import check, require, require_threads, to_dict
from mpnas_kit.space.space import Path, SearchSpace
from mpnas_kit.training.evaluation import evaluate, recalibrate


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the training stage."""

    steps: int = 1500
    """Optimiser steps; in each, every drawn domain gives one batch."""
    batch_size: int = 32
    """Images a domain and step."""
    learning_rate: float = 0.1
    """Peak of the rate: linear warm-up, cosine to 0."""
    warmup: float = 0.025
    """Share of the steps in which the rate rises."""
    momentum: float = 0.9
    """Nesterov momentum."""
    weight_decay: float = 3e-4
    """On kernels and matrices."""
    label_smoothing: float = 0.1
    """Share of the target spread over all classes."""
    average: float = 0.99
    """Decay of the moving average of the weights that is evaluated; 0 averages nothing."""
    shift: int = 2
    """Augmentation: images are moved by at most so many pixels."""
    draw_temperature: float = 0.0
    """How often a domain is drawn: 0 all alike, 1 in proportion to its images, between tempered."""
    norm: Norm = "per_domain"
    """Whose batch-norm statistics: per_domain, mixed or naive."""
    private_from: int | None = None
    """Index of the first layer (stem: 0) whose weights no domain shares; None: all are shared."""
    frozen: bool = False
    """Train the classifiers only, on the other weights as they are at the start."""
    priority: Prioritization = field(default_factory=ABDP)
    """Domain prioritization."""
    evaluate_every: int = 0
    """Validation accuracy every so many steps, for the curves; 0: only at the end."""
    checkpoint_every: int = 100
    """Steps between checkpoints."""
    seed: int = 0
    """Of the weights and of every batch."""
    threads: int | None = None
    """Threads of torch; None: one for small images, for others as many as torch has."""
    device: str | None = None
    """Where it computes, as torch names it (cpu, cuda); None: on a GPU where there is one."""
    precision: Precision = "float32"
    """Of the forward and backward pass: float32, or bfloat16 by autocast. Weights are float32."""
    micro_batches: int = 1
    """Parts of a batch, each normalised alone: the processes of torchrun share them out."""

    def __post_init__(self) -> None:
        check(self, "training")
        where = "training:"
        require_threads(self.threads, where)
        require(self.steps >= 1, f"{where} steps must be at least 1, not {self.steps}.")
        require(self.batch_size >= 2, f"{where} batch_size must be at least 2: batch norm.")
        require(self.learning_rate > 0, f"{where} learning_rate must be above 0.")
        require(0 <= self.average < 1, f"{where} average must be in [0, 1), not {self.average}.")
        require(
            0 <= self.label_smoothing < 1,
            f"{where} label_smoothing must be in [0, 1), not {self.label_smoothing}.",
        )
        require(0 <= self.warmup <= 1, f"{where} warmup must be in [0, 1], not {self.warmup}.")
        require(0 <= self.momentum < 1, f"{where} momentum must be in [0, 1), not {self.momentum}.")
        for name in ("weight_decay", "shift", "draw_temperature", "evaluate_every"):
            value = getattr(self, name)
            require(value >= 0, f"{where} {name} must not be below 0, not {value}.")
        require(
            self.private_from is None or self.private_from >= 0,
            f"{where} private_from must be a layer's index or None, not {self.private_from}.",
        )
        require(self.checkpoint_every >= 1, f"{where} checkpoint_every must be at least 1.")
        require(
            1 <= self.micro_batches <= self.batch_size // 2,
            f"{where} micro_batches must leave at least 2 of {self.batch_size} images in each, not "
            f"be {self.micro_batches}.",
        )
        require(self.seed >= 0, f"{where} seed must be at least 0, not {self.seed}.")


@dataclass(frozen=True)
class TrainResult:
    """What a training stage gives back.

    net: the trained network, ready to evaluate. evaluation: top-1 accuracy (0 to 1) and loss (nats)
    of every domain on the validation and the test split. history: a row a step and domain: loss,
    weight, training accuracy; validation accuracy where it was taken.
    """

    net: MultiPathNet
    paths: dict[str, Path]
    config: TrainConfig
    evaluation: pd.DataFrame
    history: pd.DataFrame

    def accuracy(self, split: str = "test") -> pd.Series:
        """Top-1 accuracy of every domain on a split."""
        rows = self.evaluation[self.evaluation["split"] == split]
        return rows.set_index("domain")["accuracy"]

    def __repr__(self) -> str:
        mean = self.accuracy().mean()
        return f"TrainResult({len(self.paths)} domains, mean test top-1 {mean:.1%})"


def train(
    suite: DomainSuite,
    space: SearchSpace,
    paths: Mapping[str, Path],
    config: TrainConfig,
    *,
    start: MultiPathNet | None = None,
    folder: str | FilePath | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainResult:
    """Train the union of `paths` on the training splits of their domains.

    start: a network of one domain on the same path, whose weights all domains begin with; None:
    from scratch. folder: a run folder; an interrupted run goes on in it and ends bit-identical, a
    finished one is only read. callbacks: told after every step. Raises `MpnasError` for a path of
    an unknown domain, a folder of another config, a loss that is not finite.
    """
    for name in paths:
        suite[name]
    kept = suite.select([n for n in suite.names if n in paths])
    description = {
        **describe("train", kept, space),
        "paths": {n: paths[n].arch for n in kept.names},
        "start": None if start is None else start.fingerprint(),
        "config": to_dict(config),
    }
    compute = Compute.of(
        config.device, config.precision, config.micro_batches, config.norm, len(kept)
    )
    known = to_dict(TrainConfig())
    with (
        reproducible(config.threads, space.resolution),
        at_work(folder, description, known, compute.team) as run,
    ):
        training = _Training(kept, space, paths, config, start, run, compute)
        return training.run(callbacks)


class _Training(Stage):
    """One training run and all of its state."""

    name = "train"

    def __init__(
        self,
        suite: DomainSuite,
        space: SearchSpace,
        paths: Mapping[str, Path],
        config: TrainConfig,
        start: MultiPathNet | None,
        folder: RunFolder | None,
        compute: Compute,
    ) -> None:
        super().__init__(config.steps, config.checkpoint_every, folder, compute)
        self.suite, self.paths, self.config = suite, dict(paths), config
        self.net = MultiPathNet.of_paths(
            space, paths, suite.classes, config.norm, config.seed, config.private_from
        )
        if start is not None:
            self.net.adopt(start, next(iter(start.classes)))
        self.net.to(compute.device).nodes.requires_grad_(not config.frozen)
        self.averaged = AveragedModel(self.net, multi_avg_fn=_average_with(config.average))
        self.optimiser = sgd(self.net, config.momentum, config.weight_decay)
        sources = {d.name: Source(d.train, Standard.of(d), d.flip) for d in suite}
        self.streams = streams(sources, config.batch_size, config.seed, Augment(config.shift))
        self.draws = DrawSchedule({d.name: len(d.train) for d in suite}, config.draw_temperature)
        self.weigher = config.priority.weigher(suite.classes, config.seed)

    def run(self, callbacks: Sequence[Callback]) -> TrainResult:
        before = self.finished(_left)
        if before is not None:
            evaluation, weights = before
            self._averaged_net.load_state_dict(weights)
            return self._result(evaluation)
        self.loop(callbacks)
        return self._finish()

    def advance(self) -> dict[str, dict[str, float]]:
        config = self.config
        rate = learning_rate(self.step, config.steps, config.learning_rate, config.warmup)
        set_rate(self.optimiser, rate)
        figures = weighted_step(
            self.net,
            self.optimiser,
            {d: self.streams[d].next() for d in self.draws.drawn(self.step)},
            self.paths,
            self.weigher,
            config.label_smoothing,
            self.step / config.steps,
            self.compute,
        )
        self.averaged.update_parameters(self.net)
        if config.evaluate_every and (self.step + 1) % config.evaluate_every == 0:
            table = evaluate(self._calibrated(), self.suite, self.paths, "val", self.team)
            for domain, accuracy in zip(table["domain"], table["accuracy"], strict=True):
                figures.setdefault(domain, {})["val_accuracy"] = accuracy
        return figures

    @property
    def _averaged_net(self) -> MultiPathNet:
        net = self.averaged.module
        assert isinstance(net, MultiPathNet)
        return net

    def _calibrated(self) -> MultiPathNet:
        """The averaged weights with statistics of their own."""
        net = self._averaged_net
        recalibrate(net, self.suite, self.paths)
        return net

    def _finish(self) -> TrainResult:
        net = self._calibrated()
        splits = ("val", "test")
        tables = [evaluate(net, self.suite, self.paths, split, self.team) for split in splits]
        evaluation = pd.concat(tables, ignore_index=True)
        if self.folder is not None:
            tensors = {n: t.contiguous() for n, t in net.state_dict().items()}
            weights = safetensors.torch.save(tensors)
            self.folder.write("model.safetensors", lambda f: f.write(weights))
            self.folder.write_json("paths.json", {n: p.arch for n, p in self.paths.items()})
            self.write_timing(self.folder)
            self.folder.write_json("results.json", {"evaluation": evaluation.to_dict("records")})
        return self._result(evaluation)

    def _result(self, evaluation: pd.DataFrame) -> TrainResult:
        net = self._averaged_net.eval()
        return TrainResult(net, self.paths, self.config, evaluation, self.history())

    def state(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "weigher": self.weigher.state_dict(),
            "streams": {n: s.state_dict() for n, s in self.streams.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.weigher.load_state_dict(state["weigher"])
        for name, stream in self.streams.items():
            stream.load_state_dict(state["streams"][name])


def _left(folder: RunFolder, results: Any) -> tuple[pd.DataFrame, dict[str, Tensor]]:
    """Evaluation and weights that a finished training left."""
    try:
        weights = safetensors.torch.load_file(folder.folder / "model.safetensors")
    except Exception:
        raise MpnasError(
            f"{folder.folder / 'model.safetensors'} is missing or cut short: "
            "delete results.json to finish this stage again."
        ) from None
    return pd.DataFrame(results["evaluation"]), weights


def _average_with(decay: float) -> Any:
    """The update of the averaged weights; early on the average is younger than `decay` says."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        seen = int(count)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + seen) / (10 + seen)))

    return update
