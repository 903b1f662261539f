"""The form of the JSON files in a stage folder. It is checked whenever a file is read."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from mpnas_kit.domains.decoding import How
from mpnas_kit.kernels.library import EAGER

Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Deviation = Annotated[float, Meta(gt=0, le=1)]


class SuiteName(Struct):
    """Names of the suite and of its domains."""

    name: str
    domains: list[str]


class SpaceName(Struct):
    """Name and fingerprints of the space. Release 0.1 had none of the blocks."""

    name: str
    fingerprint: str
    blocks: str | None = None


class DomainInput(Struct):
    """The images that a domain's network takes (`domains.signature.Signature`)."""

    channels: Literal[1, 3]
    resolution: Annotated[int, Meta(ge=1, le=16384)]
    mean: Annotated[list[Fraction], Meta(min_length=3, max_length=3)]
    deviation: Annotated[list[Deviation], Meta(min_length=3, max_length=3)]
    how: How = "crop"


class StageRecord(Struct):
    """What a reader of the folder needs, besides the settings.

    classes: names of the classes by domain. space: the space (`describe_space`). cost_unit: unit of
    the cost model. inputs: the images that the networks of a training take, by domain. frozen: arch
    strings of the domains of the network to which a search has added others. start: text of the
    start; empty: it existed in memory only. Release 0.1 recorded none of them.
    """

    classes: dict[str, list[str]] | None = None
    space: dict[str, Any] | None = None
    cost_unit: str | None = None
    inputs: dict[str, DomainInput] | None = None
    frozen: dict[str, str] | None = None
    start: str | None = None


class StageConfigFile(Struct):
    """config.json.

    format: 1 if release 0.1 wrote the file. data: fingerprint of the images. costs: fingerprint of
    the costs of a search. paths: arch strings of a training by domain. start: checksum of the start
    of a stage, or fingerprint of the network that it adds domains to. kernels: variant of the
    kernels, which an earlier release does not record, because it was eager.
    """

    stage: Literal["search", "train"]
    suite: SuiteName
    data: str
    space: SpaceName
    config: dict[str, Any]
    format: Count = 1
    record: StageRecord = field(default_factory=StageRecord)
    costs: str | None = None
    paths: dict[str, str] | None = None
    start: str | None = None
    kernels: str = EAGER


class MetricsRow(Struct):
    """A line of metrics.jsonl: the metrics of a step by domain and name."""

    step: Count
    domains: dict[str, dict[str, float]]


class Timing(Struct):
    """timing.json: how long a stage took, in seconds. `seconds` has the time of its landmarks."""

    seconds: Positive
    seconds_per_step: Positive


class Environment(Struct):
    """environment.json. kernels: variant of the kernels; earlier releases were eager."""

    python: str
    platform: str
    processors: int | None
    threads: int
    versions: dict[str, str]
    git_commit: str | None
    git_dirty: bool
    kernels: str = EAGER


class Results(Struct):
    """results.json of any stage.

    files: SHA-256 checksum of the other files of the results, by name. None: release 0.1 wrote it.
    """

    files: dict[str, str] | None = None


class SearchResults(Results, kw_only=True):
    """results.json of a search."""

    paths: Annotated[dict[str, str], Meta(min_length=1)]
    costs: dict[str, float]
    cost_target: float
    cost_targets: dict[str, float] | None = None
    landmark_tau: dict[str, float | None] | None = None


class FrontPointFile(Struct):
    """A set of paths in front.json: parameters of the union, quality, arch string per domain."""

    parameters: Count
    quality: float
    paths: Annotated[dict[str, str], Meta(min_length=1)]


class FrontFile(Struct):
    """front.json: the merge pass of a search. measured: number of paths that it measured."""

    measured: Count
    points: Annotated[list[FrontPointFile], Meta(min_length=1)]


class DomainAccuracy(Struct):
    """Accuracy and loss of a domain on a split, in results.json of a training.

    class_images: number of images of every class. recalls: recall of every class; None: it has no
    images. A release that recorded neither has None for both.
    """

    domain: str
    split: Literal["val", "test"]
    images: Count
    accuracy: Fraction
    loss: Positive
    class_images: list[Annotated[int, Meta(ge=0)]] | None = None
    recalls: list[Fraction | None] | None = None


class TrainResults(Results, kw_only=True):
    """results.json of a training."""

    evaluation: Annotated[list[DomainAccuracy], Meta(min_length=1)]
