"""The result of a training: accuracies, history, and the trained network."""

import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from html import escape
from typing import Any

import pandas as pd
from msgspec.structs import asdict

from mpnas_kit.domains.batches import Standard
from mpnas_kit.domains.pixel_statistics import PixelStatistics, from_tensors
from mpnas_kit.domains.signature import Signature
from mpnas_kit.domains.task import Classification, Task
from mpnas_kit.engine.finished import read_finished, read_history
from mpnas_kit.engine.records import DomainAccuracy, Results, StageConfigFile, TrainResults
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.engine.start_table import read_start_table
from mpnas_kit.errors import MpnasError
from mpnas_kit.kernels.library import usable
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.network.norms import member
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.evaluation import Measured, evaluation_table, recall_table


class TrainResult:
    """The result of a training. `train` returns it, and `load` reads it from a stage folder.

    net: trained network, in evaluation mode; or a function that returns it.
    paths: path of every domain, by domain.
    config: settings of the training.
    evaluation: accuracy, one row per domain and split. Columns: domain, split (`val` or `test`),
    images (their number), accuracy (top-1, 0 to 1), loss (nats, without label smoothing),
    macro_accuracy (mean recall over the classes that have images, 0 to 1). An earlier release
    recorded no macro_accuracy.
    history: metrics, one row per step and drawn domain; or a function that returns them. Columns:
    step (from 1), domain, loss (nats, without label smoothing), weight, accuracy (on the training
    batch, 0 to 1), and val_accuracy (0 to 1) in steps with an evaluation.
    space: search space of the paths. None: that of the network.
    tasks: task of every domain, by domain. None: those of the network.
    signatures: images and classes of every domain's network, by domain. None: they are not known,
    because an earlier release wrote the folder.
    pixels: pixel statistics of every domain, which tell domains apart; or a function that returns
    them. A domain whose training did not record them is absent. None: there are none.
    recalls: recall of every class, one row per domain, split and class. Columns: domain, split,
    label (name of the class), images (their number), recall (0 to 1; nan if the class has no
    images). None: it is not known, because an earlier release wrote the folder.
    start_table: what the start gave, one row per tensor, all columns as text (see `Loaded`). None:
    the training had no start.

    A loaded result reads `history`, `net` and `pixels` when they are first used.

    >>> list(trained.accuracy("test").index)
    ['planted0', 'planted1']
    >>> trained.evaluation.shape, trained.recalls.shape
    ((4, 6), (64, 5))
    """

    def __init__(
        self,
        net: MultiPathNet | Callable[[], MultiPathNet],
        paths: Mapping[str, Path],
        config: TrainConfig,
        evaluation: pd.DataFrame,
        history: pd.DataFrame | Callable[[], pd.DataFrame],
        space: SearchSpace | None = None,
        tasks: Mapping[str, Task] | None = None,
        signatures: Mapping[str, Signature] | None = None,
        pixels: Mapping[str, PixelStatistics]
        | Callable[[], Mapping[str, PixelStatistics]]
        | None = None,
        recalls: pd.DataFrame | None = None,
        start_table: pd.DataFrame | None = None,
    ) -> None:
        self._pixels = {} if pixels is None else pixels
        self.paths, self.config, self.evaluation = dict(paths), config, evaluation
        self.recalls, self.start_table = recalls, start_table
        self._net, self._history = net, history
        if isinstance(net, MultiPathNet):
            space, tasks = net.space, net.tasks
        assert space is not None and tasks is not None
        self.space, self.tasks = space, dict(tasks)
        self.signatures = None if signatures is None else dict(signatures)

    @classmethod
    def load(
        cls,
        folder: str | pathlib.Path,
        *,
        space: SearchSpace | None = None,
        config: TrainConfig | None = None,
        trust: bool = False,
    ) -> "TrainResult":
        """Return the result of a finished training from its stage folder. Nothing is computed.

        folder: stage folder, such as `runs/quick/train`.
        space: search space of the paths. None: the space that the folder records.
        config: settings of the training. None: the settings that the folder records.
        trust: whether modules that the folder names are imported.

        Raises `MpnasError` if the training is not finished or a file is damaged, and `Unavailable`
        if the space cannot be made from the folder. Damaged weights and metrics raise it when `net`
        and `history` are first used.
        """
        read = read_finished(folder, TrainConfig, TrainResults, space, config, trust)
        stage, union_space, settings = read.folder, read.space, read.config
        archs = stage.read_json("paths.json", dict[str, str])
        if archs != read.content.paths:
            raise MpnasError(f"{stage.folder}: config.json and paths.json have other paths.")
        paths = {d: union_space.read(arch) for d, arch in archs.items()}
        evaluation = pd.DataFrame([_basic(row) for row in read.results.evaluation])
        expected = {(d, split) for d in paths for split in ("val", "test")}
        found = list(zip(evaluation["domain"], evaluation["split"], strict=True))
        if not paths or len(found) != len(expected) or set(found) != expected:
            raise MpnasError(
                f"{stage.folder / 'results.json'} does not fit config.json: expected an evaluation "
                "of every domain on val and test."
            )
        tasks = _tasks(stage, read.content, paths)
        signatures = _signatures(stage, read.content, paths)
        measured = _measured(stage, read.content, read.results.evaluation)
        recalls = None
        if measured is not None:
            evaluation = evaluation_table(measured)
            recalls = recall_table(measured, read.content.record.classes or {})

        def net() -> MultiPathNet:
            union = _union(union_space, paths, tasks, settings)
            stage.load_weights("model.safetensors", union)
            union.kernels = usable(settings.kernels)
            union.standards = {name: s.standard for name, s in (signatures or {}).items()}
            return union.eval()

        def history() -> pd.DataFrame:
            return read_history(stage, settings.steps)

        def pixels() -> dict[str, PixelStatistics]:
            return _pixels(stage, paths)

        return cls(
            net,
            paths,
            settings,
            evaluation,
            history,
            union_space,
            tasks,
            signatures,
            pixels,
            recalls,
            read_start_table(stage),
        )

    @cached_property
    def net(self) -> MultiPathNet:
        """Trained network, in evaluation mode: moving average of the weights (`config.average`)."""
        return self._net if isinstance(self._net, MultiPathNet) else self._net()

    @cached_property
    def history(self) -> pd.DataFrame:
        """Metrics, one row per step and drawn domain. The class lists the columns."""
        return self._history if isinstance(self._history, pd.DataFrame) else self._history()

    @cached_property
    def pixels(self) -> Mapping[str, PixelStatistics]:
        """Pixel statistics by domain, which tell domains apart. The class says which it has."""
        return self._pixels() if callable(self._pixels) else self._pixels

    @property
    def standard(self) -> Standard | None:
        """Network input that all domains have because of a start. None: each has its own.

        A training that adds domains to another one hands it on.
        """
        if not self.signatures:
            return None
        first, *others = self.signatures.values()
        alike = all((s.mean, s.deviation) == (first.mean, first.deviation) for s in others)
        is_given = self.start_table is not None or bool(others)
        return first.standard if alike and is_given else None

    @cached_property
    def structure(self) -> MultiPathNet:
        """Network to count sizes of. For a loaded result its weights are not the trained ones."""
        if isinstance(self._net, MultiPathNet):
            return self._net
        return _union(self.space, self.paths, self.tasks, self.config)

    def accuracy(self, split: str = "test") -> pd.Series:
        """Return the top-1 accuracy of every domain, 0 to 1, indexed by domain.

        split: `val` or `test`.
        """
        rows = self.evaluation[self.evaluation["split"] == split]
        return rows.set_index("domain")["accuracy"]

    def macro_accuracy(self, split: str = "test") -> pd.Series:
        """Return the macro accuracy of every domain, 0 to 1, indexed by domain.

        It is the mean recall over the classes that have images, so a rare class counts as much as a
        frequent one. It is nan if an earlier release, which did not record it, wrote the folder.

        split: `val` or `test`.
        """
        rows = self.evaluation[self.evaluation["split"] == split].set_index("domain")
        return rows["macro_accuracy"] if "macro_accuracy" in rows else rows["accuracy"] * math.nan

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle sends to another process. It has all data, so no folder is needed."""
        return {**self.__dict__, "_net": self.net, "_history": self.history, "_pixels": self.pixels}

    def _repr_html_(self) -> str:
        columns = {
            f"{words} {kind}": accuracies(split)
            for split, words in (("val", "validation"), ("test", "test"))
            for kind, accuracies in (("top-1", self.accuracy), ("macro", self.macro_accuracy))
        }
        rows = "".join(
            f"<tr><td>{escape(d)}</td>"
            + "".join(
                f"<td>{'–' if math.isnan(c[d]) else f'{c[d]:.1%}'}</td>" for c in columns.values()
            )
            + "</tr>"
            for d in self.paths
        )
        head = f"<tr><th>domain</th>{''.join(f'<th>{c}</th>' for c in columns)}</tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"

    def __repr__(self) -> str:
        mean = self.accuracy().mean()
        return f"TrainResult({len(self.paths)} domains, mean test top-1 {mean:.1%})"


def _basic(row: DomainAccuracy) -> dict[str, Any]:
    """Return what every release records of a domain and split."""
    content = asdict(row)
    return {name: content[name] for name in ("domain", "split", "images", "accuracy", "loss")}


def _measured(
    stage: StageFolder, recorded: StageConfigFile, rows: Sequence[DomainAccuracy]
) -> list[Measured] | None:
    """Return the measurements with those of every class, or None if they are not recorded."""
    classes = recorded.record.classes or {}
    found = []
    for row in rows:
        if row.class_images is None or row.recalls is None:
            return None
        counts, recalls = row.class_images, row.recalls
        empty = [not count for count in counts]
        whole = len(counts) == len(classes.get(row.domain, ())) and sum(counts) == row.images
        if not whole or empty != [recall is None for recall in recalls]:
            raise MpnasError(
                f"{stage.folder / 'results.json'} cannot be read: the recalls of {row.domain!r} on "
                f"{row.split} do not fit its classes or images."
            )
        found.append(Measured(row.domain, row.split, row.accuracy, row.loss, counts, recalls))
    return found


def _union(
    space: SearchSpace, paths: Mapping[str, Path], tasks: Mapping[str, Task], config: TrainConfig
) -> MultiPathNet:
    given = (config.norm, config.seed, config.private, config.collapse)
    return MultiPathNet.of_paths(space, paths, tasks, *given)


def _tasks(
    stage: StageFolder, recorded: StageConfigFile, paths: Mapping[str, Path]
) -> dict[str, Task]:
    """Return the tasks of the domains.

    Release 0.1 did not record them. For its folders they follow from the shapes of the classifiers.
    """
    classes = recorded.record.classes
    if classes is None:
        weights = stage.read_tensors("model.safetensors")
        return {d: Classification(len(weights[f"heads.{member(d)}.bias"])) for d in paths}
    for domain in paths:
        if domain not in classes:
            raise MpnasError(
                f"{stage.folder / 'config.json'} cannot be read: it has no classes of {domain!r}."
            )
    return {d: Classification(len(classes[d])) for d in paths}


def _pixels(stage: StageFolder, paths: Mapping[str, Path]) -> dict[str, PixelStatistics]:
    """Return the pixel statistics of the domains. An earlier release recorded none."""
    if "pixels.safetensors" not in (stage.read_json("results.json", Results).files or ()):
        return {}
    tensors = stage.read_tensors("pixels.safetensors")
    found = {domain: from_tensors(tensors, domain) for domain in paths}
    named = {name.partition(".")[2] for name in tensors}
    for domain in paths:
        if found[domain] is None and domain in named:
            raise MpnasError(
                f"{stage.folder / 'pixels.safetensors'} cannot be read: it has no statistics of "
                f"domain {domain!r}."
            )
    return {domain: one for domain, one in found.items() if one is not None}


def _signatures(
    stage: StageFolder, recorded: StageConfigFile, paths: Mapping[str, Path]
) -> dict[str, Signature] | None:
    """Return images and classes of every domain's network, or None if they are not recorded."""
    classes, inputs = recorded.record.classes, recorded.record.inputs
    if classes is None or inputs is None:
        return None
    for domain in paths:
        if domain not in inputs:
            raise MpnasError(
                f"{stage.folder / 'config.json'} cannot be read: it has no inputs of {domain!r}."
            )
    return {
        d: Signature(
            tuple(classes[d]),
            inputs[d].channels,
            inputs[d].resolution,
            tuple(inputs[d].mean),
            tuple(inputs[d].deviation),
            inputs[d].how,
        )
        for d in paths
    }
