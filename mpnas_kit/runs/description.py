"""What a run is about, and where: the content of run.json, and the finding of run folders."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpnas_kit.approaches.approach import Approach, read_approach
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.pocket import pocket
from mpnas_kit.engine.stage_folder import RunFolder
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.runs import profiles
from mpnas_kit.runs.profiles import PROFILES, Profile
from mpnas_kit.settings import to_text

SUITES: dict[str, Callable[[Sequence[str]], DomainSuite]] = {"pocket": pocket}


@dataclass(frozen=True)
class Setup:
    """What a run is about: the content of run.json.

    approach: its text form. like: the folder of the run whose search this one takes, or that it is
    matched to, relative to its own; None: there is none.
    """

    profile: str
    suite: str
    domains: tuple[str, ...]
    space: str
    approach: str = "mpnas()"
    like: str | None = None

    @classmethod
    def of(cls, chosen: Profile) -> "Setup":
        """The setup that a profile asks for."""
        return cls(chosen.name, chosen.suite, chosen.domains, chosen.space)

    @classmethod
    def read(cls, folder: Path) -> "Setup":
        """That of the run in `folder`. Raises `MpnasError` where it is missing or cut short."""
        try:
            content = json.loads((folder / "run.json").read_text())
            setup = cls(**{**content, "domains": tuple(content["domains"])})
        except (OSError, ValueError, TypeError, KeyError):
            raise MpnasError(f"{folder / 'run.json'} cannot be read: it is cut short.") from None
        if setup.profile not in PROFILES:
            raise unknown(f"profile in {folder / 'run.json'}", setup.profile, PROFILES)
        return setup

    @classmethod
    def agreed(
        cls,
        folder: Path,
        *,
        profile: str | None,
        suite: str | None,
        domains: str | Sequence[str] | None,
        space: str | None,
        approach: str | Approach | None,
        like: str | Path | None,
    ) -> "Setup":
        """That of the run in `folder`, if it was begun; else the profile's with what is given.

        Raises `MpnasError` where a run was begun with something else, where the folder holds other
        things, or a name is unknown.
        """
        asked = {
            "profile": profile,
            "suite": suite,
            "domains": _names(domains),
            "space": space,
            "approach": None if approach is None else to_text(_made(approach)),
            "like": None if like is None else os.path.relpath(place(like), folder),
        }
        given: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
        if not (folder / "run.json").exists():
            _refuse_strangers(folder)
            return cls(**{**vars(cls.of(profiles.profile(profile or "quick"))), **given})
        there = cls.read(folder)
        for key, value in given.items():
            if getattr(there, key) != value:
                raise MpnasError(
                    f"{folder} was begun with {key} {_shown(getattr(there, key))}, not "
                    f"{_shown(value)}: use another run folder, or the same setting."
                )
        return there

    def write(self, folder: Path) -> None:
        """Make the folder with its run.json, unless it is there."""
        if (folder / "run.json").exists():
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise MpnasError(f"cannot make run folder {folder}: {reason}.") from None
        RunFolder(folder).write_json("run.json", {**vars(self), "domains": list(self.domains)})

    def make_suite(self) -> DomainSuite:
        """The domains."""
        if self.suite not in SUITES:
            raise unknown("suite", self.suite, SUITES)
        return SUITES[self.suite](self.domains)


def place(run: str | Path) -> Path:
    """Where a run folder is: relative to the working folder, or to the one above `notebooks`.

    A kernel of JupyterLab works in the folder of its notebook, papermill in that of the shell.
    """
    here = Path.cwd()
    inside = here.name == "notebooks" and (here.parent / "pyproject.toml").exists()
    return here.parent / run if inside else Path(run)


def _made(approach: str | Approach) -> Approach:
    return read_approach(approach) if isinstance(approach, str) else approach


def _names(domains: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if domains is None:
        return None
    parts = domains.split(",") if isinstance(domains, str) else domains
    return tuple(part.strip() for part in parts if part.strip())


def _shown(value: str | Sequence[str] | None) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else ", ".join(value)


def _refuse_strangers(folder: Path) -> None:
    """A folder that holds other things is left alone; a run.json cut short is none."""
    if folder.is_dir() and any(f.name != "run.json.tmp" for f in folder.iterdir()):
        raise MpnasError(
            f"{folder} is not empty and has no run.json: expected a run folder, or a new one."
        )
