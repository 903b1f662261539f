"""The pipeline on one run folder: what command line, notebooks and report all call.

    RUN/run.json   profile, suite, domains, space and approach, set when the run is begun
    RUN/search     the run folder of the search stage, if the approach searches
    RUN/pretrain   the run folder of the largest domain alone, if the approach begins with it
    RUN/train      the run folder of the training stage

A later stage takes from RUN what an earlier one left there, and nothing else. A stage that was
begun goes on with the config it was begun with; one that is finished is only read.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from mpnas_kit.approaches.approach import Approach, Context, Plan, label, read_approach
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.engine.loop import Callback
from mpnas_kit.engine.stage_folder import RunFolder
from mpnas_kit.engine.team import Team
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.runs import profiles
from mpnas_kit.runs.description import Setup, place
from mpnas_kit.runs.profiles import Profile
from mpnas_kit.search.config import SearchConfig, resolve_target
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.stage import search
from mpnas_kit.settings import from_dict, require, to_dict
from mpnas_kit.space.space import Path as ArchPath
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.spaces import space_by_name
from mpnas_kit.training.stage import TrainConfig, TrainResult, train

Stage = Literal["search", "train"]
STAGES: tuple[Stage, ...] = ("search", "train")
Config = TypeVar("Config", SearchConfig, TrainConfig)


class Pipeline:
    """Search and training on one run folder. Made by `open` (begin or go on) or `read`."""

    def __init__(self, folder: Path, setup: Setup) -> None:
        self.folder, self.setup = folder, setup

    def __reduce__(self) -> tuple[type["Pipeline"], tuple[Path, Setup]]:
        """Sent to another process, it takes along no images: it reads them there."""
        return Pipeline, (self.folder.absolute(), self.setup)

    @classmethod
    def open(
        cls,
        run: str | Path,
        *,
        profile: str | None = None,
        suite: str | None = None,
        domains: str | Sequence[str] | None = None,
        space: str | None = None,
        approach: str | Approach | None = None,
        like: str | Path | None = None,
    ) -> "Pipeline":
        """The run in folder `run`, begun if it is not there.

        profile: `quick` (the default of a new run) or `full`; suite, domains (a sequence, or text
        with commas), space: instead of the profile's. approach: how the domains are served (a new
        run: `mpnas`). like: the folder of another run, whose search this one takes instead of one
        of its own; for a control, the MPNAS run that it is matched to. None, for a run that was
        begun: as it was.
        Raises `MpnasError` where a run was begun with something else, or a name is unknown.
        """
        folder = place(run)
        setup = Setup.agreed(
            folder,
            profile=profile,
            suite=suite,
            domains=domains,
            space=space,
            approach=approach,
            like=like,
        )
        return cls(folder, setup)

    @classmethod
    def read(cls, run: str | Path) -> "Pipeline":
        """The run in folder `run`, which must have been begun."""
        folder = place(run)
        if not (folder / "run.json").exists():
            raise MpnasError(
                f"{folder} has no run.json: expected a run folder, as "
                f"`mpnas search --run {folder}` makes it."
            )
        return cls(folder, Setup.read(folder))

    @property
    def profile(self) -> Profile:
        """The profile the run was begun with."""
        return profiles.profile(self.setup.profile)

    @cached_property
    def suite(self) -> DomainSuite:
        """The domains of the run."""
        return self.setup.make_suite()

    @cached_property
    def space(self) -> SearchSpace:
        """The search space of the run."""
        return space_by_name(self.setup.space, self.suite.resolution)

    @cached_property
    def approach(self) -> Approach:
        """How the domains of the run are served."""
        return read_approach(self.setup.approach)

    @cached_property
    def like(self) -> "Pipeline | None":
        """The run that this one takes its search from, or is matched to."""
        if self.setup.like is None:
            return None
        return Pipeline.read(os.path.normpath(self.folder / self.setup.like))

    @property
    def origin(self) -> "Pipeline":
        """The run whose search and cost target this one goes by: itself, if it is like no other."""
        return self if self.like is None else self.like.origin

    @property
    def searches(self) -> bool:
        """Whether the run has a search of its own."""
        return self.approach.searches and self.setup.like is None

    @cached_property
    def plan(self) -> Plan:
        """What the approach asks for, in this run."""
        config = self.origin._plain_config(SearchConfig, "search", {})
        like = self.like.paths() if self.like is not None else None
        return self.approach.plan(Context(self.space, self.suite.names, config, like))

    # Configs -------------------------------------------------------------------------------------

    def search_config(self, **overrides: Any) -> SearchConfig:
        """The search's config: as it was begun, else the profile's; `overrides` that are not None.

        Values may be text, as on a command line.
        """
        return self._config(SearchConfig, "search", overrides)

    def train_config(self, **overrides: Any) -> TrainConfig:
        """The training's config, as `search_config`."""
        return self._config(TrainConfig, "train", overrides)

    def config(self, stage: Stage) -> SearchConfig | TrainConfig:
        """The config of a stage, as it was begun or will be."""
        return self.search_config() if stage == "search" else self.train_config()

    def _config(self, cls: type[Config], stage: Stage, overrides: Mapping[str, Any]) -> Config:
        """The config in force; a field that the approach fixes cannot be overruled."""
        plain = self._plain_config(cls, stage, overrides)
        fixed = getattr(self.plan, stage)
        for name, value in fixed.items():
            if overrides.get(name) is not None and getattr(plain, name) != value:
                raise MpnasError(
                    f"{stage}: {name} is {value!r} in the approach {label(self.approach)}, not "
                    f"{getattr(plain, name)!r}."
                )
        return replace(plain, **fixed)

    def _plain_config(
        self, cls: type[Config], stage: Stage, overrides: Mapping[str, Any]
    ) -> Config:
        if self.begun(stage):
            values = RunFolder.read(self.folder / stage).read_json("config.json")["config"]
        else:
            values = getattr(self.profile, stage)
        given = {key: value for key, value in overrides.items() if value is not None}
        return from_dict(cls, {**values, **given}, where=stage)

    def changes(self, config: SearchConfig | TrainConfig) -> list[str]:
        """The fields in which a config differs from that of the run's profile."""
        stage = "search" if isinstance(config, SearchConfig) else "train"
        plain, used = to_dict(type(config)(**getattr(self.profile, stage))), to_dict(config)
        return [name for name, value in used.items() if value != plain[name]]

    # Stages --------------------------------------------------------------------------------------

    def begun(self, stage: Stage) -> bool:
        """Whether the stage has a folder."""
        return (self.folder / stage / "config.json").exists()

    def finished(self, stage: Stage) -> bool:
        """Whether the stage has its results."""
        return (self.folder / stage / "results.json").exists()

    def search(
        self, config: SearchConfig | None = None, callbacks: Sequence[Callback] = ()
    ) -> SearchResult:
        """Search in RUN/search; goes on where it was stopped, only reads when it is finished."""
        self._own_search()
        config = config or self.search_config()
        resolve_target(self.space, config, len(self.suite))  # refused before a folder is made
        folder = self.begin() / "search"
        return search(self.suite, self.space, config, folder=folder, callbacks=callbacks)

    def train(
        self,
        config: TrainConfig | None = None,
        callbacks: Sequence[Callback] = (),
        paths: Mapping[str, ArchPath] | None = None,
    ) -> TrainResult:
        """Train in RUN/train; paths: as it was begun, else those of the run, unless given."""
        config = config or self.train_config()
        paths = paths if paths is not None else Team.current().lead(self._paths_to_train)
        folder = self.begin()
        start = self._pretrained(paths, config, callbacks) if self.plan.pretrained else None
        return train(
            self.suite,
            self.space,
            paths,
            config,
            start=start,
            folder=folder / "train",
            callbacks=callbacks,
        )

    def _paths_to_train(self) -> dict[str, ArchPath]:
        if not self.begun("train"):
            return self.paths()
        archs = RunFolder.read(self.folder / "train").read_json("config.json")["paths"]
        return {domain: self.space.parse(arch) for domain, arch in archs.items()}

    def _pretrained(
        self, paths: Mapping[str, ArchPath], config: TrainConfig, callbacks: Sequence[Callback]
    ) -> MultiPathNet:
        """The path of the largest domain, trained on that domain alone, with the same settings."""
        largest = max(self.suite, key=lambda domain: len(domain.train)).name
        require(
            largest in paths,
            f"there is no path for {largest!r}, the largest domain, on which the approach "
            f"{label(self.approach)} trains first.",
        )
        alone = self.suite.select([largest])
        config = replace(config, frozen=False)
        folder = self.folder / "pretrain"
        path = {largest: paths[largest]}
        return train(alone, self.space, path, config, folder=folder, callbacks=callbacks).net

    def paths(self, file: str | Path | None = None) -> dict[str, ArchPath]:
        """The paths in a JSON file of arch strings by domain; None: those of the run.

        That are those which its search, or the search it takes, found; else those its approach has.
        """
        if file is None and self.plan.paths is not None:
            return dict(self.plan.paths)
        if file is None and self.like is not None:
            return self.like.paths()
        if file is None:
            self._need("search")
        place = Path(file) if file is not None else self.folder / "search" / "paths.json"
        try:
            archs = json.loads(place.read_text())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no valid JSON"
            raise MpnasError(f"paths file {place} cannot be read: {reason.lower()}.") from None
        if not isinstance(archs, dict) or not all(isinstance(a, str) for a in archs.values()):
            raise MpnasError(f"paths file {place} must hold one arch string a domain.")
        for domain in archs:
            _ = self.suite[domain]
        return {domain: self.space.parse(arch) for domain, arch in archs.items()}

    def found(self) -> SearchResult:
        """What the finished search of this run found; nothing is computed."""
        if self.approach.searches and self.like is not None:
            return self.like.found()
        self._own_search()
        self._need("search")
        return self.search()

    def trained(self) -> TrainResult:
        """What the finished training of this run gave; nothing is computed."""
        self._need("train")
        return self.train()

    def about(self, stage: Stage) -> dict[str, Any]:
        """Where a finished stage ran and how long: environment.json and timing.json together."""
        folder = RunFolder.read(self.folder / stage, "environment.json", "timing.json")
        environment: dict[str, Any] = folder.read_json("environment.json")
        return {**environment, **folder.read_json("timing.json")}

    def begin(self) -> Path:
        """The folder, with its run.json; unknown names are told before it is written."""
        _ = self.suite, self.space
        Team.current().lead(lambda: self.setup.write(self.folder))
        return self.folder

    def _own_search(self) -> None:
        if self.searches:
            return
        why = (
            f"it takes the search of {self.like.folder}"
            if self.approach.searches and self.like is not None
            else f"the approach {label(self.approach)} does not search"
        )
        raise MpnasError(f"{self.folder} has no search stage: {why}.")

    def _need(self, stage: Stage) -> None:
        if self.finished(stage):
            return
        how = "was not finished" if self.begun(stage) else "was not begun"
        raise MpnasError(
            f"the {stage} stage of {self.folder} {how}: run `mpnas {stage} --run {self.folder}` "
            "first."
        )

    def __repr__(self) -> str:
        return (
            f"Pipeline({str(self.folder)!r}, {label(self.approach)}, {self.setup.profile}, "
            f"{len(self.suite)} domains)"
        )
