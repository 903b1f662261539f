"""The description of a run: the content of run.json, and the paths of run folders."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from mpnas_kit import files
from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.suites import read_suite
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.parts import shown, split_list
from mpnas_kit.runs.profiles import PROFILES
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.texts import RecordedSpace, describe_space, space_from_text

RUN = "run.json"
FORMAT = 2  # of run.json; release 0.1 wrote none


class DomainFacts(NamedTuple):
    """Facts about a domain that need no images.

    name: name of the domain.
    classes: names of the classes.
    channels: 1 (grey) or 3 (RGB).
    train, val, test: number of images per split.
    resolution: height and width of the images, in pixels.
    """

    name: str
    classes: tuple[str, ...]
    channels: int
    train: int
    val: int
    test: int
    resolution: int

    @classmethod
    def of(cls, domain: Domain) -> "DomainFacts":
        """Return the facts of a domain."""
        train, val, test = (len(split) for split in (domain.train, domain.val, domain.test))
        name, classes, channels = domain.name, domain.classes, domain.channels
        return cls(name, classes, channels, train, val, test, domain.resolution)


@dataclass(frozen=True)
class StartSource:
    """Where the pretrained weights of a run come from.

    text: text form of the start, as `--start` takes it. A path is relative to the run folder. None:
    the start existed in memory only.
    sha256: checksum of the start.
    """

    text: str | None
    sha256: str


@dataclass(frozen=True)
class RunDescription:
    """The description of a run: the content of run.json.

    profile: name of the profile that gives the default settings.
    data: text that recreates the suite of domains; None: the suite exists in memory only.
    domains: facts about the domains, in order.
    resolution: height and width of the largest images, in pixels.
    space: the search space (`describe_space`) with its fingerprint.
    approach: text form of the approach.
    search_from: folder of the run whose search this run takes, relative to its own folder; None:
    the run has its own search, or none.
    matched_to: folder of the MPNAS run that this control is matched to, relative to its own folder;
    None: there is none.
    images: fingerprint of the suite (`DomainSuite.fingerprint`); None: release 0.1 did not record
    it.
    frozen: names of the domains of the network to which the run adds the others. The suite of the
    run does not have them.
    start: pretrained weights that the stages begin with; None: weights begin at random.
    """

    profile: str
    data: str | None
    domains: tuple[DomainFacts, ...]
    resolution: int
    space: Mapping[str, Any]
    approach: str = "mpnas"
    search_from: str | None = None
    matched_to: str | None = None
    images: str | None = None
    frozen: tuple[str, ...] = ()
    start: StartSource | None = None

    @classmethod
    def of(
        cls,
        profile: str,
        suite: DomainSuite,
        space: SearchSpace,
        approach: str,
        start: StartSource | None = None,
        **others: str | None,
    ) -> "RunDescription":
        """Return the description of a new run."""
        facts = tuple(DomainFacts.of(d) for d in suite)
        return cls(
            profile,
            suite.source,
            facts,
            suite.resolution,
            describe_run_space(space),
            approach,
            search_from=others.get("search_from"),
            matched_to=others.get("matched_to"),
            images=suite.fingerprint(),
            start=start,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the domains, in order."""
        return tuple(d.name for d in self.domains)

    @property
    def resolutions(self) -> dict[str, int]:
        """Height and width of the images of every domain, by domain, in pixels."""
        return {d.name: d.resolution for d in self.domains}

    @property
    def in_suite(self) -> tuple[str, ...]:
        """Names of the domains whose images the run has, in order."""
        return tuple(name for name in self.names if name not in self.frozen)

    @classmethod
    def read(cls, folder: pathlib.Path) -> "RunDescription":
        """Return the description in `folder`. Raises `MpnasError` if run.json is damaged."""
        file = folder / RUN
        content = files.read_json(file, dict[str, Any])
        release = files.formed(content, _Release, file)
        if release.format > FORMAT:
            raise MpnasError(
                f"{file} has format {release.format}, so a newer release of the kit wrote it: this "
                f"one knows formats up to {FORMAT}."
            )
        first = release.format == 1
        described = _first_release(content, file) if first else _current(content, file)
        if described.profile not in PROFILES:
            raise unknown(f"profile in {file}", described.profile, PROFILES)
        if len(set(described.names)) < len(described.names):
            raise MpnasError(f"{file} cannot be read: domains: it names a domain twice.")
        if not set(described.frozen) < set(described.names):
            raise MpnasError(f"{file} cannot be read: frozen: expected some of its domains.")
        return described

    def write(self, folder: pathlib.Path) -> None:
        """Create the folder with its run.json, unless run.json exists."""
        if not files.exists(folder / RUN):
            files.make_folder(folder)
        content = {"format": FORMAT, **asdict(self), "domains": [d._asdict() for d in self.domains]}
        files.write_new(folder / RUN, files.json_bytes(content))

    def refuse_other(self, folder: pathlib.Path, given: Mapping[str, Any]) -> None:
        """Raise `MpnasError` if a field of `given` that is not None differs from this run's."""
        for name, value in given.items():
            own = getattr(self, name)
            if value is not None and value != own:
                setting = "domains" if name == "names" else name
                raise MpnasError(
                    f"{folder} was begun with {setting} {_shown(own)}, not {_shown(value)}: use "
                    "another run folder, or the same setting."
                )


def describe_run_space(space: SearchSpace) -> dict[str, Any]:
    """Return `describe_space` with the fingerprint, which shows whether two spaces are equal."""
    return {**describe_space(space), "fingerprint": space.fingerprint()}


class _Release(msgspec.Struct):
    """The format of run.json. Release 0.1 did not record it."""

    format: int = 1


class _Domain(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    classes: Annotated[list[str], Meta(min_length=2)]
    channels: Literal[1, 3]
    train: Annotated[int, Meta(ge=1)]
    val: Annotated[int, Meta(ge=1)]
    test: Annotated[int, Meta(ge=1)]
    resolution: Annotated[int, Meta(ge=1, le=16384)] | None = None


class _Start(msgspec.Struct, forbid_unknown_fields=True):
    text: str | None
    sha256: Annotated[str, Meta(min_length=1)]


class _RunFile(msgspec.Struct, forbid_unknown_fields=True):
    """run.json of this release. `RunDescription` explains the fields."""

    format: int
    profile: str
    data: str | None
    domains: Annotated[list[_Domain], Meta(min_length=1)]
    resolution: Annotated[int, Meta(ge=1, le=16384)]
    space: RecordedSpace
    approach: str
    search_from: str | None
    matched_to: str | None
    images: str | None
    frozen: list[str] = []
    start: _Start | None = None


class _FirstRelease(msgspec.Struct):
    """run.json of release 0.1. like: folder of the run that gave the search or was matched to."""

    profile: str
    suite: str
    domains: list[str]
    space: str
    approach: str = "mpnas"
    like: str | None = None


def _current(content: Mapping[str, Any], file: pathlib.Path) -> RunDescription:
    read = files.formed(content, _RunFile, file)
    facts = tuple(
        DomainFacts(
            d.name,
            tuple(d.classes),
            d.channels,
            d.train,
            d.val,
            d.test,
            d.resolution or read.resolution,
        )
        for d in read.domains
    )
    return RunDescription(
        profile=read.profile,
        data=read.data,
        domains=facts,
        resolution=read.resolution,
        space=content["space"],
        approach=read.approach,
        search_from=read.search_from,
        matched_to=read.matched_to,
        images=read.images,
        frozen=tuple(read.frozen),
        start=None if read.start is None else StartSource(read.start.text, read.start.sha256),
    )


def _first_release(content: Mapping[str, Any], file: pathlib.Path) -> RunDescription:
    """Return the description of a run of release 0.1, which had the kit's own suites only."""
    read = files.formed(content, _FirstRelease, file)
    for name, text in (("suite", read.suite), ("space", read.space)):
        if ":" in text:
            raise MpnasError(f"{file} cannot be read: {name}: release 0.1 had no {text!r}.")
    suite = read_suite(read.suite, read.domains, trust=False)
    space = space_from_text(read.space, suite.resolution)
    run = RunDescription.of(read.profile, suite, space, read.approach)
    run = replace(run, images=None)
    approach = run.approach.partition("(")[0]
    if read.like is None:
        return run
    searches = approach in ("mpnas", "bundle", "multi_head")
    return replace(run, search_from=read.like) if searches else replace(run, matched_to=read.like)


def place(run: str | pathlib.Path, what: str = "run folder") -> pathlib.Path:
    """Return the path of a run folder, relative to the working folder or to the one above it.

    In the folder `notebooks` of a checkout, paths begin at the checkout, unless they begin with
    `..`. The reason: a JupyterLab kernel works in the folder of its notebook, but papermill works
    in the folder of the shell.

    run: path that a person gave. `~` is the home folder.
    what: what the path is for, in an error.

    Raises `MpnasError` if it is not a path.
    """
    given = files.as_path(run, what)
    if given.is_absolute() or given.parts[:1] == ("..",):
        return given
    working = working_folder()
    inside = working.name == "notebooks" and files.exists(working.parent / "pyproject.toml")
    return working.parent / given if inside else given


def working_folder() -> pathlib.Path:
    """Return the working folder. Raises `MpnasError` if it was deleted."""
    with files.file_errors("use", "the working folder"):
        return pathlib.Path.cwd()


def relative(other: str | pathlib.Path, folder: pathlib.Path, what: str = "run folder") -> str:
    """Return the folder of another run relative to `folder`; run.json has it in this form.

    other: path that a person gave. what: what it is for, in an error.
    """
    working_folder()
    return os.path.relpath(place(other, what), folder)


def nearby(folder: pathlib.Path, other: pathlib.Path) -> bool:
    """Return whether another run is where the runs of one person are, as seen from a run folder.

    The runs are in one folder, or one is a cell of the other. A run folder from elsewhere can name
    any path, and this process is not to look at files that are not part of it.
    """
    own = pathlib.Path(os.path.abspath(folder))
    home = own.parents[2] if own.parent.name == "cells" and len(own.parents) > 2 else own.parent
    there = pathlib.Path(os.path.abspath(other))
    return there.is_relative_to(home) and len(there.relative_to(home).parts) in (1, 3)


def domain_names(domains: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names of domains given as a sequence or as text with commas; None stays None.

    Raises `MpnasError` if an item is not a name.
    """
    if domains is None:
        return None
    names = split_list(domains) if isinstance(domains, str) else domains
    if not isinstance(names, Sequence) or not all(isinstance(n, str) for n in names):
        raise MpnasError(
            f"domains got {shown(domains)}: expected names of domains, or a DomainSuite."
        )
    if not names:
        raise MpnasError("domains has no names: expected at least one, or no such option.")
    for name in names:
        if ":" in name:
            raise MpnasError(
                f"domains got {name!r}: expected names of domains. A suite as text belongs in data."
            )
    return tuple(names)


def refuse_strangers(folder: pathlib.Path) -> None:
    """Raise `MpnasError` if a folder without run.json has other files in it.

    A run.json whose write was interrupted does not count.
    """
    if files.exists(folder) and not folder.is_dir():
        raise MpnasError(f"{folder} is a file: expected a run folder, or a new one.")
    if any(not name.endswith(files.UNFINISHED) for name in files.names_in(folder)):
        raise MpnasError(
            f"{folder} is not empty and has no run.json: expected a run folder, or a new one."
        )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return f"{value.get('source') or value.get('name')!r}"
    return value if isinstance(value, str) else ", ".join(map(str, value))
