"""The description of a run: the content of run.json, and the paths of run folders."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.suites import suite_from_text
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.errors import MpnasError, reason, unknown
from mpnas_kit.parts import shown, split_list
from mpnas_kit.runs.profiles import PROFILES
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.texts import describe_space, space_from_text

FORMAT = 2  # of run.json; release 0.1 wrote none


class DomainFacts(NamedTuple):
    """Facts about a domain that need no images.

    name: name of the domain.
    classes: names of the classes.
    channels: 1 (grey) or 3 (RGB).
    train, val, test: number of images per split.
    """

    name: str
    classes: tuple[str, ...]
    channels: int
    train: int
    val: int
    test: int

    @classmethod
    def of(cls, domain: Domain) -> "DomainFacts":
        """Return the facts of a domain."""
        sizes = (len(split) for split in (domain.train, domain.val, domain.test))
        return cls(domain.name, domain.classes, domain.channels, *sizes)


@dataclass(frozen=True)
class RunDescription:
    """The description of a run: the content of run.json.

    profile: name of the profile that gives the default settings.
    data: text that recreates the suite of domains; None: the suite exists in memory only.
    domains: facts about the domains, in order.
    resolution: height and width of the images, in pixels.
    space: the search space (`describe_space`) with its fingerprint.
    approach: text form of the approach.
    search_from: folder of the run whose search this run takes, relative to its own folder; None:
    the run has its own search, or none.
    matched_to: folder of the MPNAS run that this control is matched to, relative to its own folder;
    None: there is none.
    images: fingerprint of the suite (`DomainSuite.fingerprint`); None: release 0.1 did not record
    it.
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

    @classmethod
    def of(
        cls,
        profile: str,
        suite: DomainSuite,
        space: SearchSpace,
        approach: str,
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
            **others,
            images=suite.fingerprint(),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the domains, in order."""
        return tuple(d.name for d in self.domains)

    @classmethod
    def read(cls, folder: pathlib.Path) -> "RunDescription":
        """Return the description in `folder`. Raises `MpnasError` if run.json is damaged."""
        file = folder / "run.json"
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            described = _first_release(content) if "format" not in content else _current(content)
        except MpnasError:
            raise
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise MpnasError(f"{file} cannot be read: {reason(error)}.") from None
        if described.profile not in PROFILES:
            raise unknown(f"profile in {file}", described.profile, PROFILES)
        return described

    def write(self, folder: pathlib.Path) -> None:
        """Create the folder with its run.json, unless run.json exists."""
        if (folder / "run.json").exists():
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MpnasError(f"cannot create run folder {folder}: {reason(error)}.") from None
        content = {"format": FORMAT, **asdict(self), "domains": [d._asdict() for d in self.domains]}
        StageFolder(folder).write_json("run.json", content)

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


def _current(content: Mapping[str, Any]) -> RunDescription:
    given = {k: v for k, v in content.items() if k != "format"}
    facts = tuple(
        DomainFacts(**{**d, "classes": tuple(d["classes"])}) for d in given.pop("domains")
    )
    return RunDescription(domains=facts, **given)


def _first_release(content: Mapping[str, Any]) -> RunDescription:
    """Return the description of a run of release 0.1, which had the kit's own suites only."""
    for name in ("suite", "space"):
        if ":" in content[name]:
            raise ValueError(f"{name} {content[name]!r} is not one of release 0.1")
    suite = suite_from_text(content["suite"], content["domains"])
    space = space_from_text(content["space"], suite.resolution)
    run = RunDescription.of(content["profile"], suite, space, content.get("approach", "mpnas"))
    run = replace(run, images=None)
    like, approach = content.get("like"), run.approach.partition("(")[0]
    if like is None:
        return run
    searches = approach in ("mpnas", "bundle", "multi_head")
    return replace(run, **{"search_from" if searches else "matched_to": like})


def place(run: str | pathlib.Path) -> pathlib.Path:
    """Return the path of a run folder, relative to the working folder or to the one above it.

    In the folder `notebooks` of a checkout, paths begin at the checkout. The reason: a JupyterLab
    kernel works in the folder of its notebook, but papermill works in the folder of the shell.
    """
    working = pathlib.Path.cwd()
    inside = working.name == "notebooks" and (working.parent / "pyproject.toml").exists()
    return working.parent / run if inside else pathlib.Path(run)


def relative(other: str | pathlib.Path, folder: pathlib.Path) -> str:
    """Return the folder of another run relative to `folder`; run.json has it in this form."""
    return os.path.relpath(place(other), folder)


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
    for name in names:
        if ":" in name:
            raise MpnasError(
                f"domains got {name!r}: expected names of domains. A suite as text belongs in data."
            )
    return tuple(names)


def refuse_strangers(folder: pathlib.Path) -> None:
    """Raise `MpnasError` if a folder without run.json has other files in it.

    The file run.json.tmp is allowed: a write of run.json that was interrupted.
    """
    if folder.is_dir() and any(f.name != "run.json.tmp" for f in folder.iterdir()):
        raise MpnasError(
            f"{folder} is not empty and has no run.json: expected a run folder, or a new one."
        )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return f"{value.get('source') or value.get('name')!r}"
    return value if isinstance(value, str) else ", ".join(map(str, value))
