"""The training stage: it trains the union of the domains' paths on all training images."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from mpnas_kit.domains.batches import Augment, DrawSchedule, Source, standards, streams
from mpnas_kit.domains.domain import SPLITS, DomainSuite, require_trainable
from mpnas_kit.domains.pixel_statistics import PixelStatistics, to_tensors
from mpnas_kit.domains.signature import Signature
from mpnas_kit.engine.checkpoint import load_optimiser
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.loop import (
    Callback,
    Stage,
    StepCallback,
    compute_for,
    history_table,
    identity,
    record,
    require_callbacks,
    space_for,
)
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.engine.stage_folder import Contents, StageFolder, open_on_leader
from mpnas_kit.engine.start_table import START, as_read, write_start_table
from mpnas_kit.engine.step import learning_rate, optimiser_of, set_rate, weighted_step
from mpnas_kit.engine.trackers import StageStart, check_trackers, tracked
from mpnas_kit.errors import MpnasError
from mpnas_kit.files import as_path
from mpnas_kit.network.frozen import grown_space
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.prioritization.domain_weights import begin_weights
from mpnas_kit.settings import require, to_dict
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.starts.source import Start
from mpnas_kit.training.averaging import Averaged
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.evaluation import (
    Measured,
    evaluate,
    evaluation_table,
    measure,
    measurements,
    recalibrate,
    recall_table,
)
from mpnas_kit.training.features import LIMIT, Features
from mpnas_kit.training.result import TrainResult
from mpnas_kit.values import require_type


def train(
    suite: DomainSuite,
    space: SearchSpace,
    paths: Mapping[str, Path],
    config: TrainConfig | None = None,
    *,
    start: Start | None = None,
    frozen: TrainResult | None = None,
    folder: str | pathlib.Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainResult:
    """Train the union of `paths` on the training splits of their domains.

    This is the second stage of MPNAS (Wang et al., WACV 2021, arXiv 2010.04904). If two paths use
    the same node, they share its weights. At the end, the validation and test splits are evaluated.

    suite: domains with their images.
    space: search space of the paths, for images of the suite's resolution.
    paths: path of every domain to train, by domain.
    config: settings. None: `TrainConfig()`.
    start: pretrained weights, which every domain begins with, except for the classifiers. What each
    tensor gets is in the result's `start_table`. None: all weights begin at random.
    frozen: result of a training of other domains, to which those of `paths` are added. Its weights
    and statistics do not change, so its domains have the same outputs as before, to the bit. Only
    new nodes, batch norms and heads are trained. The result has all domains. None: there is none.
    folder: stage folder. An interrupted training continues in it, and ends as if it had not been
    interrupted, bit for bit. A finished training is only read. None: no files are written.
    callbacks: functions of a `StepEvent`, called after every step.

    Raises `MpnasError` if `paths` is empty or names an unknown domain, if `start` and `frozen` are
    both given, if nothing can be added to `frozen`, if the folder has another config or start, or
    if a loss is not finite.

    >>> paths = dict.fromkeys(suite.names, space.parse("row column diagonal row"))
    >>> trained = mk.train(suite, space, paths, mk.TrainConfig(steps=4, batch_size=8))
    >>> list(trained.accuracy("test").index)
    ['planted0', 'planted1']
    """
    config = TrainConfig() if config is None else config
    require_type(config, TrainConfig, "config")
    require_type(suite, DomainSuite, "suite")
    require_type(space, SearchSpace, "space")
    require_type(paths, Mapping, "paths")
    if start is not None:
        require_type(start, Start, "start")
    require(
        start is not None or config.frozen_norms != "start",
        "train: frozen_norms 'start' takes the batch norms of a start, and there is none: expected "
        "a start.",
    )
    require(
        start is None or config.frozen_norms != "start" or _has_statistics(start.net),
        "train: frozen_norms 'start' takes the batch-norm statistics of the start, and a supernet "
        "has none: expected a start that is trained, or frozen_norms='measured'.",
    )
    if frozen is not None:
        paths = _added_paths(paths, space, config, frozen, start)
    for name, path in paths.items():
        suite[name]
        space.require(path)
    suite = suite.select([n for n in suite.names if n in paths])
    space = space_for(suite, space)
    require_trainable(suite, config.micro_batches)
    require_callbacks(callbacks)
    check_trackers(callbacks)
    compute = compute_for(config, len(suite), folder)

    def contents() -> Contents:
        """Return the content of the training's config.json."""
        before = {} if frozen is None else frozen.paths
        fingerprint = None if frozen is None else frozen.net.fingerprint()
        return Contents(
            {
                **identity("train", suite, space, SPLITS),
                "paths": {n: p.arch for n, p in {**before, **paths}.items()},
                "start": fingerprint if start is None else start.checksum,
                "config": to_dict(config),
            },
            compute.variant,
            known=to_dict(TrainConfig()),
            record=lambda: _record(suite, space, frozen, start),
        )

    place = None if folder is None else as_path(folder, "folder")
    start_of_stage = StageStart("train", config, space, suite.names, place)
    with (
        reproducible(config.threads, space.resolution, compute.kernels is not None),
        open_on_leader(folder, contents, compute.team) as run,
        tracked(callbacks, start_of_stage, compute.team) as followed,
    ):
        finished = compute.team.on_leader(lambda: _finished(run, space, config))
        if finished is not None:
            return followed.ended(finished)
        computed = _Training(suite, space, paths, config, start, frozen, run, compute)
        return followed.ended(computed.run(followed.callbacks))


def _has_statistics(net: MultiPathNet) -> bool:
    return all(m.tracked for m in net.nodes.modules() if isinstance(m, DomainNorm))


def _added_paths(
    paths: Mapping[str, Path],
    space: SearchSpace,
    config: TrainConfig,
    frozen: TrainResult,
    start: Start | None,
) -> dict[str, Path]:
    """Return the paths of added domains, with own nodes in all layers in which they need them."""
    require_type(frozen, TrainResult, "frozen")
    require(start is None, "start and frozen are both given: expected only one of them.")
    require(
        not config.frozen,
        "train: frozen trains classifiers only, but domains that are added also need batch norms "
        "of their own: expected frozen=False.",
    )
    require(
        not config.collapse,
        "train: with collapse, nodes of added domains would share weights with frozen ones: "
        "expected collapse=False.",
    )
    if frozen.signatures is None or frozen.recalls is None:
        raise MpnasError(
            "the frozen training does not record how its images become network input, or the "
            "recall of every class, because an earlier release wrote its folder: train it again in "
            "a new folder."
        )
    grown = grown_space(space, frozen, tuple(paths), config.norm, config.private)
    for path in paths.values():
        require_type(path, Path, "a path")
    return {domain: grown.plain(path) for domain, path in paths.items()}


def _signatures(
    suite: DomainSuite, frozen: TrainResult | None, start: Start | None
) -> dict[str, Signature]:
    """Return what goes into the network and what comes out, for all of its domains."""
    given = frozen if start is None else start
    inputs = standards(suite, None if given is None else given.standard)
    own = {d.name: Signature.of(d, inputs[d.name]) for d in suite}
    earlier = {} if frozen is None or frozen.signatures is None else frozen.signatures
    return {**earlier, **own}


def _record(
    suite: DomainSuite, space: SearchSpace, frozen: TrainResult | None, start: Start | None
) -> dict[str, Any]:
    """Return what a reader of the stage folder needs, for all domains of the network."""
    signatures = _signatures(suite, frozen, start)
    return {
        **record(suite, space),
        **({} if start is None else {"start": start.text}),
        "classes": {name: list(s.classes) for name, s in signatures.items()},
        "inputs": {name: s.record() for name, s in signatures.items()},
    }


def _finished(
    folder: StageFolder | None, space: SearchSpace, config: TrainConfig
) -> TrainResult | None:
    if folder is None or not folder.is_finished:
        return None
    return TrainResult.load(folder.folder, space=space, config=config)


class _Training(Stage):
    """One training, with all of its state."""

    name = "train"
    free = ("optimiser.state", "prioritization", "streams.*.order")

    def __init__(
        self,
        suite: DomainSuite,
        space: SearchSpace,
        paths: Mapping[str, Path],
        config: TrainConfig,
        start: Start | None,
        frozen: TrainResult | None,
        folder: StageFolder | None,
        compute: Compute,
    ) -> None:
        super().__init__(config.steps, config.checkpoint_every, folder, compute)
        self.suite, self.paths, self.config = suite, dict(paths), config
        self.before = frozen
        self.all_paths = {**(frozen.paths if frozen else {}), **self.paths}
        tasks = {**(frozen.tasks if frozen else {}), **suite.tasks}
        given = (config.norm, config.seed, config.private, config.collapse)
        self.net = MultiPathNet.of_paths(space, self.all_paths, tasks, *given)
        classes = {d.name: d.classes for d in suite}
        loaded = None if start is None else start.load(self.net, classes)
        self.start_table = None if loaded is None else as_read(loaded.table)
        self._fix(config)
        if frozen is not None:
            self.net.freeze(frozen.net)
        self.signatures = _signatures(suite, frozen, start)
        self.net.standards = {name: s.standard for name, s in self.signatures.items()}
        self.net.to(compute.device)
        self.net.kernels = compute.kernels
        self.averaged = Averaged(self.net, config.average)
        names = frozenset() if loaded is None else loaded.names
        self.optimiser = optimiser_of(self.net, config, names)
        inputs = self.net.standards
        sources = {d.name: Source(d.train, inputs[d.name], d.flip, d.turn) for d in suite}
        self.streams = streams(sources, config.batch_size, config.seed, Augment(config.shift))
        self.features = None
        fixed = self._is_constant(config, compute) and not any(d.turn for d in suite)
        if fixed and Features.size(space, sources) <= LIMIT:
            self.features = Features(self.net, sources, self.paths, compute.device)
        self.draws = DrawSchedule({d.name: len(d.train) for d in suite}, config.draw_temperature)
        self.weights = begin_weights(config.prioritization, suite.tasks, config.seed)

    def _fix(self, config: TrainConfig) -> None:
        """Make constant what is not trained.

        With batch norms of the start, nodes compute as in an evaluation, so that the features of an
        image are the same in every step, and those of the start's own network.
        """
        for part in (self.net.nodes, self.net.lenders):
            part.requires_grad_(not config.frozen)
            part.train(config.frozen_norms != "start")
            if config.frozen_norms == "tuned":
                for module in part.modules():
                    if isinstance(module, DomainNorm):
                        module.requires_grad_(True)

    @staticmethod
    def _is_constant(config: TrainConfig, compute: Compute) -> bool:
        """Return whether the features of an image are the same in every step."""
        norms = config.frozen and config.frozen_norms == "start"
        return norms and config.shift == 0 and compute.precision == "float32"

    def run(self, callbacks: Sequence[StepCallback]) -> TrainResult:
        self.loop(callbacks)
        return self._finish()

    def advance(self) -> dict[str, dict[str, float]]:
        config = self.config
        rate = learning_rate(self.step, config.steps, config.learning_rate, config.warmup)
        set_rate(self.optimiser, rate)
        batches = {d: self.streams[d].next() for d in self.draws.drawn(self.step)}
        if self.features is not None:
            batches = self.features.of(batches)
        figures = weighted_step(
            self.net if self.features is None else self.features,
            self.optimiser,
            batches,
            self.paths,
            self.weights,
            config.label_smoothing,
            self.step / config.steps,
            self.compute,
        )
        self.averaged.update()
        if config.evaluate_every and (self.step + 1) % config.evaluate_every == 0:
            table = evaluate(self._calibrated(), self.suite, self.paths, "val", self.team)
            for domain, accuracy in zip(table["domain"], table["accuracy"], strict=True):
                figures.setdefault(domain, {})["val_accuracy"] = accuracy
        return figures

    def _calibrated(self) -> MultiPathNet:
        """Return the network with averaged weights, and batch-norm statistics for evaluation.

        They are measured, unless the batch norms are those of the start.
        """
        net = self.averaged.net
        if self.before is not None:
            net.freeze(self.before.net)  # an average of equal numbers may differ in its last bit
        if self.config.frozen_norms != "start":
            recalibrate(net, self.suite, self.paths)
        return net

    def _finish(self) -> TrainResult:
        net = self._calibrated()
        splits = ("val", "test")
        measured = [one for split in splits for one in self._measured(net, split)]
        self.pixels = {d.name: PixelStatistics.of(d) for d in self.suite}
        if self.before is not None:
            self.pixels = {**self.before.pixels, **self.pixels}
        if self.folder is not None:
            self.folder.write_tensors("model.safetensors", net.state_dict())
            self.folder.write_tensors("pixels.safetensors", to_tensors(self.pixels))
            self.folder.write_json("paths.json", {n: p.arch for n, p in self.all_paths.items()})
            names = ["model.safetensors", "paths.json", "pixels.safetensors"]
            if self.start_table is not None:
                write_start_table(self.folder, self.start_table)
                names.append(START)
            self.write_timing(self.folder)
            self.folder.finish({"evaluation": [one.record() for one in measured]}, self.rows, names)
        return self._result(measured)

    def _measured(self, net: MultiPathNet, split: str) -> list[Measured]:
        """Return what all domains reach. Frozen ones keep theirs, as their outputs are equal."""
        own = measure(net, self.suite, self.paths, split, self.team)
        if self.before is None or self.before.recalls is None:
            return own
        earlier = measurements(self.before.evaluation, self.before.recalls)
        return [*(one for one in earlier if one.split == split), *own]

    def _result(self, measured: list[Measured]) -> TrainResult:
        return TrainResult(
            self.averaged.net.eval(),
            self.all_paths,
            self.config,
            evaluation_table(measured),
            history_table(self.rows),
            signatures=self.signatures,
            pixels=self.pixels,
            recalls=recall_table(
                measured, {name: s.classes for name, s in self.signatures.items()}
            ),
            start_table=self.start_table,
        )

    def state(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "prioritization": self.weights.state_dict(),
            "streams": {n: s.state_dict() for n, s in self.streams.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.averaged.load_state_dict(state["averaged"])
        load_optimiser(self.optimiser, state["optimiser"])
        self.weights.load_state_dict(state["prioritization"])
        for name, stream in self.streams.items():
            stream.load_state_dict(state["streams"][name])
