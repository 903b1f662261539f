"""A run: a search, the training of its paths, and the sweep around it, in one folder.

    RUN/run.json   profile, data, domains, space and approach, set when the run is begun
    RUN/frozen     copy of the training to which the run adds domains, if it does
    RUN/search     stage folder of the search, if the approach searches
    RUN/landmarks  stage folders of the landmarks, if the search has some
    RUN/pretrain   stage folder of the largest domain alone, if the approach begins with it
    RUN/train      stage folder of the training
    RUN/cells      run folders of a sweep around this run

A later stage uses only the files that earlier stages wrote into the folder. A stage that was begun
continues with the config it was begun with. A finished stage is only read.
"""

import os
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, TypeVar

from msgspec.structs import asdict

from mpnas_kit import files
from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.approaches.approach import Approach, Context, Plan, label, plan_of
from mpnas_kit.approaches.methods import APPROACH
from mpnas_kit.approaches.searched import Grown
from mpnas_kit.domains.domain import DomainSuite, require_trainable
from mpnas_kit.domains.suites import SUITE, read_suite, suite_from_text, suite_text
from mpnas_kit.domains.task import Classification, Task
from mpnas_kit.engine.config import StageConfig
from mpnas_kit.engine.finished import recorded_config
from mpnas_kit.engine.loop import Callback, compute_for, space_for
from mpnas_kit.engine.records import Environment, Timing
from mpnas_kit.engine.stage_folder import StageFolder, compared, copy_finished, other_setting
from mpnas_kit.engine.team import Team
from mpnas_kit.engine.trackers import check_trackers
from mpnas_kit.errors import MpnasError, Unavailable, unknown
from mpnas_kit.network.frozen import grown_space
from mpnas_kit.parts import Missing, approve, approved, to_text
from mpnas_kit.runs import profiles
from mpnas_kit.runs.description import (
    RUN,
    DomainFacts,
    RunDescription,
    describe_run_space,
    domain_names,
    nearby,
    place,
    refuse_strangers,
    relative,
)
from mpnas_kit.runs.landmarks import (
    begun_training,
    landmark_folder,
    landmark_paths,
    make_landmarks,
    read_landmarks,
)
from mpnas_kit.runs.profiles import GROWTH, Profile
from mpnas_kit.runs.started import given_start, read_start, refuse_other_start, source_of
from mpnas_kit.runs.tables import RunTables
from mpnas_kit.search.config import SearchConfig, resolve_targets
from mpnas_kit.search.data import require_divisible
from mpnas_kit.search.landmarks import Landmarks
from mpnas_kit.search.merging import Front
from mpnas_kit.search.result import SearchResult, read_front
from mpnas_kit.search.stage import search
from mpnas_kit.settings import from_dict, require, to_dict
from mpnas_kit.space.grown import GrownSpace
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.texts import SPACE, read_space, space_from_text
from mpnas_kit.starts.source import Start
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.result import TrainResult
from mpnas_kit.training.stage import train

StageName = Literal["search", "train"]
STAGES: tuple[StageName, ...] = ("search", "train")
STAGE_FOLDERS = ("search", "pretrain", "train")  # in which a process may run a stage
FROZEN = "frozen"  # folder of the training to which a run adds domains
MOST_LINKS = 20  # runs that take their search from each other, in a row
Config = TypeVar("Config", bound=StageConfig)


class Run:
    """A run in a folder. A new folder begins a run; an existing run folder continues it.

    folder: path of the run folder.
    profile: `quick` or `full`; it gives the default settings. A new run has `quick` by default.
    data: suite of domains, as an object or as text: `pocket`, `my_data.py:suite`, or the path of a
    folder, a table or a suite file (see `folders`, `table`, `suite_file`).
    domains: names of the domains, as a sequence or as text with commas; or a whole suite.
    space: search space, as an object or as text.
    approach: how the domains are served, as an object or as text. A new run has `mpnas` by default.
    search_from: folder of a run whose search this run takes, instead of its own search.
    matched_to: folder of the MPNAS run that this control is matched to.
    start: pretrained weights that search and training begin with, as an object or as text: `lite0`,
    the path of a checkpoint, or a folder of a trained run (see `start_from_text`). A new run has
    none by default.
    trust: whether modules that the run folder names are imported, and images that it names by a
    path are read. By default they are not.

    A parameter that is None keeps the value the run was begun with; in a new run the profile gives
    the value. Raises `MpnasError` if the run was begun with another value, if a name is unknown, or
    if the folder has other files and no run.json.

    >>> run = mk.Run("runs/mine", domains=suite, space=space)  # doctest: +SKIP
    >>> found = run.search(steps=600)  # doctest: +SKIP
    >>> trained = run.train(prioritization=mk.ABDP())  # doctest: +SKIP
    """

    def _found_later(self, suite: DomainSuite | None, other_given: bool) -> None:
        """Set the attributes that are found when they are first needed."""
        self._suite, self._other_given = suite, other_given
        self._start: Start | None = None
        self._same_images = False
        self._space: SearchSpace | None = None
        self._approach: Approach | None = None

    def __init__(
        self,
        folder: str | pathlib.Path,
        *,
        profile: str | None = None,
        data: DomainSuite | str | None = None,
        domains: DomainSuite | str | Sequence[str] | None = None,
        space: SearchSpace | str | None = None,
        approach: Approach | str | None = None,
        search_from: str | pathlib.Path | None = None,
        matched_to: str | pathlib.Path | None = None,
        start: Start | str | None = None,
        trust: bool = False,
    ) -> None:
        self.folder, self.trust = place(folder), trust
        self._found_later(None, search_from is not None or matched_to is not None)
        if start is not None:
            self._start = given_start(start, trust)
        if isinstance(domains, DomainSuite):
            require(
                data is None,
                "domains and data are both suites: expected names in `domains`, or no `data`.",
            )
            data, domains = domains, None
        names = domain_names(domains)
        others = {
            name: None if other is None else relative(other, self.folder, name)
            for name, other in (("search_from", search_from), ("matched_to", matched_to))
        }
        if approach is not None:
            text = isinstance(approach, str)
            self._approach = APPROACH.parse(approach) if text else APPROACH.check(approach)  # type: ignore[arg-type]
        if files.exists(self.folder / RUN):
            self._continue(profile, data, names, space, others)
        else:
            self._begin(profile, data, names, space, others)

    def _begin(
        self,
        profile: str | None,
        data: DomainSuite | str | None,
        names: tuple[str, ...] | None,
        space: SearchSpace | str | None,
        others: Mapping[str, str | None],
    ) -> None:
        refuse_strangers(self.folder)
        chosen = profiles.profile(profile or "quick")
        if data is None or data == chosen.data:
            data, names = data or chosen.data, names or chosen.domains
        suite = suite_from_text(data, names) if isinstance(data, str) else SUITE.check(data, "data")
        self._suite = suite.select(names) if names is not None else suite
        space = space or chosen.space
        resolution = self._suite.resolution
        if isinstance(space, str):
            whole = space_from_text(space, resolution)
        else:
            whole = SPACE.check(space, "space")
        self._space = whole = space_for(self._suite, whole)
        approach = "mpnas" if self._approach is None else to_text(self._approach)
        require(
            approach != to_text(Grown()),
            "a run of approach 'grown' adds domains to a trained run: expected `mpnas grow`, or "
            "Run.grow of that run.",
        )
        start = None if self._start is None else source_of(self._start, self.folder)
        self.description = RunDescription.of(
            chosen.name, self._suite, whole, approach, start, **others
        )

    def _continue(
        self,
        profile: str | None,
        data: DomainSuite | str | None,
        names: tuple[str, ...] | None,
        space: SearchSpace | str | None,
        others: Mapping[str, str | None],
    ) -> None:
        """Compare the given values with run.json. Modules of given values may be imported."""
        there = RunDescription.read(self.folder)
        given: dict[str, Any] = {"profile": profile, "names": names, **others}
        if self._approach is not None:
            known = APPROACH.read(there.approach, self.trust)  # an older text lacks new options
            same = known == self._approach
            given["approach"] = there.approach if same else to_text(self._approach)
        if isinstance(data, str):
            given["data"] = suite_text(data)
        elif data is not None:
            given["names"] = names or data.names
            if data.source is not None:
                given["data"] = data.source
        if given["names"] == there.in_suite:
            given["names"] = None
        if there.data is None:  # the suite existed in memory only: the given one replaces it
            given.pop("data", None)
        there.refuse_other(self.folder, given)
        if self._start is not None:
            refuse_other_start(there.start, self._start, self.folder)
        if isinstance(data, str):
            self._suite = suite_from_text(data, there.in_suite)
        elif data is not None:
            self._suite = data.select(there.in_suite)
        if isinstance(space, str):
            space = space_from_text(space, there.resolution)
        if space is not None:
            space = space.with_resolutions(there.resolutions)
            same = space.fingerprint() == there.space["fingerprint"]
            there.refuse_other(self.folder, {"space": None if same else describe_run_space(space)})
            self._space = space
        self.description = there

    @classmethod
    def read(cls, folder: str | pathlib.Path, *, trust: bool = False) -> "Run":
        """Return the run in an existing run folder.

        folder: path of the run folder.
        trust: whether modules that the run folder names are imported.

        Raises `MpnasError` if the folder has no run.json.
        """
        if not files.exists(place(folder) / RUN):
            raise MpnasError(
                f"{place(folder)} has no run.json: expected a run folder. "
                f"`mpnas search --run {folder}` begins one."
            )
        return cls(folder, trust=trust)

    def __reduce__(self) -> tuple[Callable[..., "Run"], tuple[Any, ...]]:
        """Pickle the run for another process, without images if that process can load them.

        That process imports the modules that this one has approved, and no others. It does not read
        run.json, which a new run does not have yet.
        """
        about = self.description
        suite = None if about.data is not None else self._suite
        start = None if about.start is None or about.start.text is not None else self._start
        folder, given = self.folder.absolute(), self._other_given
        return _unpickled, (folder, self.trust, suite, start, approved(), given, about)

    # Description ---------------------------------------------------------------------------------

    @property
    def profile(self) -> Profile:
        """Profile of the run."""
        return profiles.profile(self.description.profile)

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains, in order. No images are loaded."""
        return self.description.names

    @property
    def trust_domain(self) -> str:
        """Domain for `supernet_trust`: that of the profile, or the first if the run lacks it."""
        preferred = self.profile.trust_domain
        names = self.description.in_suite
        return preferred if preferred in names else names[0]

    @property
    def tasks(self) -> dict[str, Task]:
        """Tasks of the domains, by name. No images are loaded."""
        return {d.name: Classification(len(d.classes)) for d in self.description.domains}

    @property
    def suite(self) -> DomainSuite:
        """The domains with their images. If the run adds domains to a network, these only.

        Raises `Unavailable` if they cannot be loaded, and `MpnasError` if they are not the images
        that the run was begun with.
        """
        if self._suite is None:
            text = self.description.data
            if text is None:
                raise Unavailable(
                    f"the images of {self.folder} existed in memory only and are not in its "
                    "folder: give the suite again, as `--data my_data.py:suite` or Run(folder, "
                    "domains=suite)."
                )
            self._suite = read_suite(text, self.description.in_suite, self.trust)
        if not self._same_images:
            recorded = self.description.images
            if recorded is not None and self._suite.fingerprint() != recorded:
                raise MpnasError(
                    f"{self.folder} was begun with other images, labels or classes than those of "
                    f"suite {self._suite.name!r}: use the same suite, or another run folder."
                )
            self._same_images = True
        return self._suite

    @property
    def start(self) -> Start | None:
        """Pretrained weights that search and training begin with; None: they begin at random.

        Raises `Unavailable` if they cannot be found (see `read_start`), and `MpnasError` if they
        are not those that the run was begun with.
        """
        source = self.description.start
        if self._start is None and source is not None:
            self._start = read_start(source, self.folder, self.trust)
        return self._start

    @property
    def space(self) -> SearchSpace:
        """The search space. Raises `Unavailable` if the run folder cannot recreate it."""
        if self._space is None:
            self._space = read_space(self.description.space, self.trust)
        return self._space

    @property
    def approach(self) -> Approach:
        """How the domains are served. `Missing` if its module is not trusted or not installed."""
        if self._approach is None:
            self._approach = APPROACH.read(self.description.approach, self.trust)
        return self._approach

    @cached_property
    def frozen(self) -> TrainResult | None:
        """Training to which this run adds domains; None: it does not.

        Raises `MpnasError` if its files are incomplete or damaged.
        """
        if not self.description.frozen:
            return None
        if not self.finished(FROZEN):
            raise MpnasError(
                f"{self.folder / FROZEN} is incomplete: give the command `mpnas grow` again."
            )
        return TrainResult.load(self.folder / FROZEN, space=self.space, trust=self.trust)

    @property
    def search_space(self) -> SearchSpace:
        """Space in which the search chooses: a `GrownSpace` if the run adds domains."""
        frozen = self.frozen
        if frozen is None:
            return self.space
        return GrownSpace(self.space, frozen.paths, frozen.config.private)

    @property
    def search_domains(self) -> tuple[str, ...]:
        """Names of the domains whose paths are searched: the added ones if the run adds domains."""
        return self.description.in_suite

    @cached_property
    def other(self) -> "Run | None":
        """The run that this one takes its search from or is matched to; None: there is none."""
        folder = self._other_folder()
        return None if folder is None else Run.read(folder, trust=self.trust)

    def _other_folder(self) -> pathlib.Path | None:
        """Return the folder of `other`.

        Raises `MpnasError` if runs refer to each other in a circle, and `Unavailable` if the folder
        of an untrusted run lies elsewhere.
        """
        about, here = self.description, self.folder
        met, first = {os.path.abspath(here)}, None
        while (text := about.search_from or about.matched_to) is not None:
            there = pathlib.Path(os.path.normpath(here / text))
            if os.path.abspath(there) in met or len(met) > MOST_LINKS:
                raise MpnasError(
                    f"{here} takes its search or its costs from {there}, and that run takes them "
                    "from this one: expected runs that do not refer to each other in a circle."
                )
            if first is None:
                if not (self.trust or self._other_given or nearby(self.folder, there)):
                    raise Unavailable(
                        f"{self.folder} refers to {there}, which is not in the same folder as this "
                        "run: give it again (--search-from or --matched-to), or trust the run "
                        "(--trust, trust=True)."
                    )
                first = there
            elif not (self.trust or nearby(first, there)):
                break
            if not files.exists(there / RUN):
                break
            met.add(os.path.abspath(there))
            about, here = RunDescription.read(there), there
        return first

    @property
    def origin(self) -> "Run":
        """The run whose search and cost target this one uses; the run itself if `other` is None."""
        return self if self.other is None else self.other.origin

    @property
    def searches(self) -> bool:
        """Whether the run has a search of its own."""
        return self.description.search_from is None and self.approach.searches

    @cached_property
    def plan(self) -> Plan:
        """What the approach requires in this run: paths and fixed settings."""
        config = self.origin._plain_config(SearchConfig, {})
        matched = self.other.paths() if self.other is not None else None
        started = self.description.start is not None
        landmarks = None if self.approach.searches else self.origin._read_landmarks(config)
        front = None if self.other is None else self.other._front()
        context = Context(self.space, self.domains, config, matched, started, landmarks, front)
        return plan_of(self.approach, context)

    def _front(self) -> Front | None:
        """Return the front of the run's search; None: it has none, or no merge pass."""
        if self.description.search_from is not None and self.other is not None:
            return self.other._front()
        if not self.finished("search"):
            return None
        return read_front(StageFolder.read(self.folder / "search"), self.space)

    def _landmark_folder(self, config: SearchConfig) -> pathlib.Path:
        """Return the folder of the landmarks of a search with this config."""
        return landmark_folder(self.folder, self.space, config, self.search_domains)

    def _read_landmarks(self, config: SearchConfig) -> Landmarks | None:
        """Return the landmarks of a search with this config; None: there are none yet."""
        if config.landmarks == 0:
            return None
        return read_landmarks(self._landmark_folder(config), config)

    # Configs -------------------------------------------------------------------------------------

    def search_config(self, **overrides: Any) -> SearchConfig:
        """Return the config of the search: as it was begun, otherwise that of the profile.

        overrides: fields that differ. None counts as not given. Values may be text, as on a command
        line.

        Raises `MpnasError` if a field is unknown, a value is wrong, or the approach fixes the field
        at another value.
        """
        return self._config(SearchConfig, overrides)

    def train_config(self, **overrides: Any) -> TrainConfig:
        """Return the config of the training. Otherwise like `search_config`."""
        return self._config(TrainConfig, overrides)

    def config(self, stage: StageName) -> StageConfig:
        """Return the config of a stage: as it was begun, otherwise the one it will begin with."""
        return self.search_config() if stage == "search" else self.train_config()

    def _config(self, cls: type[Config], overrides: Mapping[str, Any]) -> Config:
        """Return the config in force. A field that the approach fixes cannot be overridden.

        The config of a begun stage is recorded with the values that the approach fixed.
        """
        plain = self._plain_config(cls, overrides)
        if self.begun(cls.stage) or isinstance(self.approach, Missing):
            return plain
        fixed = getattr(self.plan, cls.stage)
        for name, value in fixed.items():
            if overrides.get(name) is not None and getattr(plain, name) != value:
                raise MpnasError(
                    f"{cls.stage}: {name} is {value!r} in the approach {label(self.approach)}, not "
                    f"{getattr(plain, name)!r}: expected no other value."
                )
        return replace(plain, **fixed)

    def _plain_config(self, cls: type[Config], overrides: Mapping[str, Any]) -> Config:
        given = {key: value for key, value in overrides.items() if value is not None}
        if self.begun(cls.stage):
            stage = StageFolder.read(self.folder / cls.stage)
            values = dict(vars(recorded_config(stage, cls, self.trust)))
        else:
            values = self._usual(cls.stage, given)
        return from_dict(cls, {**values, **given}, where=cls.stage)

    def _usual(self, stage: str, given: Collection[str] = ()) -> dict[str, Any]:
        """Return the settings that a stage begins with if none are given.

        given: names of the settings that a person gives.
        """
        values = dict(getattr(self.profile, stage))
        if self.frozen is not None:
            there = self.frozen.config
            private = {"private_until": there.private_until, "private_from": there.private_from}
            return {**values, **GROWTH[stage], **private}
        if self.description.start is not None:
            return {**values, **profiles.of_start(stage, self.space, given)}
        return values

    def check_settings(self, stage: StageName, **settings: Any) -> None:
        """Raise `MpnasError` if a stage could not begin with these settings. Nothing is written.

        stage: `search` or `train`.
        settings: fields that differ, as in `search_config`.
        """
        cls: type[StageConfig] = SearchConfig if stage == "search" else TrainConfig
        config = self._plain_config(cls, settings)
        if not self.finished(stage):
            self._require_possible(config)

    def changes(self, config: StageConfig) -> list[str]:
        """Return the names of the fields in which a config differs from that of the profile.

        That of a run that adds domains, or begins with weights, has further settings.
        """
        plain, used = to_dict(type(config)(**self._usual(config.stage))), to_dict(config)
        return [name for name, value in used.items() if value != plain[name]]

    # Stages --------------------------------------------------------------------------------------

    def begun(self, stage: str) -> bool:
        """Return whether the stage has a folder."""
        return files.exists(self.folder / stage / "config.json")

    def finished(self, stage: str) -> bool:
        """Return whether the stage has its results."""
        return files.exists(self.folder / stage / "results.json")

    def search(
        self,
        config: SearchConfig | None = None,
        *,
        training: TrainConfig | None = None,
        callbacks: Sequence[Callback] = (),
        **settings: Any,
    ) -> SearchResult:
        """Search in RUN/search, and return the result.

        A stopped search continues from its last checkpoint. A finished search is only read. If the
        setting `landmarks` is above 0, these are trained first, in RUN/landmarks. A cell of a sweep
        has them in the folder of the run around the sweep.

        config: all settings; None: those of `search_config` with `settings`.
        training: settings of the trainings of landmarks, apart from steps, seed and norm, unless
        they were begun before. None: those of `train_config`.
        callbacks: called after every step. In trainings of landmarks, the name of the stage is such
        as `landmarks 2/8`.
        settings: fields that differ, as in `run.search(steps=600)`; not together with `config`.

        Raises `MpnasError` if the run has no search of its own, if settings are wrong, or if the
        search was begun with other settings.
        """
        self._refuse_other_search()
        config = self._chosen(self.search_config, config, settings)
        if self._only_read("search"):
            _require_config(self.folder / "search", self.search_result().config, config)
            return self.search_result()
        self._require_possible(config)
        check_trackers(callbacks)
        folder = self.begin() / "search"
        return search(
            self.suite,
            self.space,
            config,
            start=self.start,
            frozen=self.frozen,
            landmarks=self._landmarks(config, training, callbacks),
            folder=folder,
            callbacks=callbacks,
        )

    def _landmarks(
        self, config: SearchConfig, training: TrainConfig | None, callbacks: Sequence[Callback]
    ) -> Landmarks | None:
        """Train the landmarks of a search. If it is finished, they are only read.

        training: settings of the trainings (see `search`).
        """
        if config.landmarks == 0:
            return None
        folder = self._landmark_folder(config)
        found = self._read_landmarks(config) if self.finished("search") else None
        if found is not None:
            return found
        training = begun_training(folder, self.trust) or training or self.train_config()
        return make_landmarks(
            self.suite, self.space, config, training, folder, start=self.start, callbacks=callbacks
        )

    def train(
        self,
        config: TrainConfig | None = None,
        *,
        paths: Mapping[str, Path] | None = None,
        callbacks: Sequence[Callback] = (),
        **settings: Any,
    ) -> TrainResult:
        """Train in RUN/train, and return the result.

        A stopped training continues from its last checkpoint. A finished training is only read.

        config: all settings; None: those of `train_config` with `settings`.
        paths: path of every domain; None: the paths the training was begun with, otherwise those of
        the run (see `paths`).
        callbacks: called after every step.
        settings: fields that differ, as in `run.train(steps=600)`; not together with `config`.

        Raises `MpnasError` if there are no paths yet, if settings are wrong, or if the training was
        begun with other settings.
        """
        config = self._chosen(self.train_config, config, settings)
        if self._only_read("train"):
            _require_config(self.folder / "train", self.train_result().config, config)
            return self.train_result()
        paths = paths if paths is not None else Team.current().on_leader(self._paths_to_train)
        paths = self._in_suite(paths)
        self._require_possible(config)
        check_trackers(callbacks)
        folder = self.begin()
        pretrained = self.plan.pretrained
        start = self._pretrained(paths, config, callbacks) if pretrained else self.start
        return train(
            self.suite,
            self.space,
            paths,
            config,
            start=start,
            frozen=self.frozen,
            folder=folder / "train",
            callbacks=callbacks,
        )

    def grow(
        self,
        folder: str | pathlib.Path,
        *,
        data: DomainSuite | str | list[str],
        domains: str | Sequence[str] | None = None,
    ) -> "Run":
        """Begin a run in another folder that adds domains to the training of this run (ours).

        The trained network is copied and stays as it is: outputs of its domains are the same, to
        the bit. `search` of the new run finds paths of the new domains through nodes of this
        network and new ones, and `train` trains what is new. Images of the present domains are not
        needed. This run does not change.

        folder: path of the new run folder. If it has this run begun already, the run continues.
        data: the new domains, as a suite or as text like `data` of a run; or several texts
        `name=path`. Images in files get the resolution of this run.
        domains: names of the new domains in `data`; None: all that it has.

        Raises `MpnasError` if the training is not finished, if its norm is not `per_domain`, if a
        name is taken, or if the folder is that of another run.

        >>> larger = run.grow("runs/four", data="letters=photos/letters")  # doctest: +SKIP
        >>> found = larger.search(steps=600)  # doctest: +SKIP
        >>> trained = larger.train(steps=600)  # doctest: +SKIP
        """
        trained, there = self.train_result(), place(folder)
        about, names = self.description, domain_names(domains)
        if isinstance(data, DomainSuite):
            suite = data
        else:
            suite = suite_from_text(suite_text(data, about.resolution), names)
        suite = suite if names is None else suite.select(names)
        config = trained.config
        grown_space(self.space, trained, suite.names, config.norm, config.private)
        space = self.space.with_resolutions({**about.resolutions, **suite.resolutions})
        facts = {d.name: d for d in about.domains}
        run = Run.__new__(Run)
        run.folder, run.trust = there, self.trust
        run._found_later(suite, False)
        run._space, run._approach = space, Grown()
        run.description = RunDescription(
            about.profile,
            suite.source,
            (*(facts[name] for name in trained.paths), *map(DomainFacts.of, suite)),
            about.resolution,
            describe_run_space(space),
            to_text(Grown()),
            images=suite.fingerprint(),
            frozen=tuple(trained.paths),
        )
        Team.current().on_leader(lambda: run._begin_grown(self.folder / "train"))
        return run

    def check_growth(self, stage: StageName, settings: Mapping[str, Any]) -> None:
        """Raise `MpnasError` if a growth of this run cannot have these settings.

        Nothing is written. Values may be text.

        stage: `search` or `train`.
        settings: fields that differ from those of the profile.
        """
        cls: type[StageConfig] = SearchConfig if stage == "search" else TrainConfig
        usual = {**getattr(self.profile, stage), **GROWTH[stage]}
        from_dict(cls, {**usual, **settings}, where=stage)

    def _begin_grown(self, source: pathlib.Path) -> None:
        """Write run.json and the copy of the stage folder `source`, or check those that exist."""
        if files.exists(self.folder / RUN):
            known = RunDescription.read(self.folder)
            if known != self.description:
                raise MpnasError(
                    f"{self.folder} holds another run, or was begun with other domains or images: "
                    "use another run folder."
                )
        else:
            refuse_strangers(self.folder)
            self.description.write(self.folder)
        copy_finished(source, self.folder / FROZEN)

    def _in_suite(self, paths: Mapping[str, Path]) -> dict[str, Path]:
        """Return the paths of the domains that a training trains.

        Raises `MpnasError` if the path of a frozen domain is another one than it has.
        """
        frozen = {} if self.frozen is None else self.frozen.paths
        for domain, path in paths.items():
            if domain in frozen and path != frozen[domain]:
                raise MpnasError(
                    f"domain {domain!r} is frozen on the path {frozen[domain]}: expected this path "
                    "or none."
                )
        return {domain: path for domain, path in paths.items() if domain not in frozen}

    def _require_possible(self, config: StageConfig) -> None:
        """Raise `MpnasError` if a stage cannot compute here, or not on these images.

        Called before a folder is created.
        """
        compute_for(config, len(self.suite), self.folder / config.stage)
        _ = self.start
        require_trainable(self.suite, config.micro_batches)
        config.private.require_within(len(self.space.layers))
        if self.frozen is not None:
            given = (self.suite.names, config.norm, config.private)
            grown_space(self.space, self.frozen, *given)
        if isinstance(config, SearchConfig):
            resolve_targets(self.search_space, config, self.suite.names)
            require_divisible(self.suite, config.reward_share, config.micro_batches)
            if config.landmarks > 0:
                require(
                    self.frozen is None,
                    "search: landmarks are trained alone, so they say nothing of frozen nodes: "
                    "expected landmarks=0 in a run that adds domains.",
                )
                landmark_paths(self.space, config, self.suite.names, sets=1)

    def _chosen(
        self, make: Callable[..., Config], config: Config | None, settings: Mapping[str, Any]
    ) -> Config:
        if config is None:
            return make(**settings)
        require(
            not settings,
            "a whole config and single settings were given: expected only one of them.",
        )
        return config

    def _only_read(self, stage: StageName) -> bool:
        """Whether a stage is finished and cannot be compared with the images it was made from."""
        if not self.finished(stage):
            return False
        if StageFolder.read(self.folder / stage).read_config().format == 1:
            return True
        try:
            _ = self.suite, self.start
        except Unavailable:
            return True
        return False

    def _paths_to_train(self) -> dict[str, Path]:
        if not self.begun("train"):
            return self.paths()
        archs = StageFolder.read(self.folder / "train").read_config().paths or {}
        return {domain: self.space.read(arch) for domain, arch in archs.items()}

    def _pretrained(
        self, paths: Mapping[str, Path], config: TrainConfig, callbacks: Sequence[Callback]
    ) -> Start:
        """Return the weights of the largest domain's path, trained on that domain alone.

        They expect the network input of the run's own start, if it has one.
        """
        largest = max(self.suite, key=lambda domain: len(domain.train)).name
        require(
            largest in paths,
            f"there is no path for {largest!r}, the largest domain: the approach "
            f"{label(self.approach)} trains that path first.",
        )
        alone = self.suite.select([largest])
        config = replace(config, frozen=False, frozen_norms="measured")
        folder, own = self.folder / "pretrain", self.start
        path = {largest: paths[largest]}
        trained = train(
            alone, self.space, path, config, start=own, folder=folder, callbacks=callbacks
        )
        start = Start.of(trained.net, trained.paths)
        return start if own is None else replace(start, standard=own.standard)

    def paths(self, file: str | pathlib.Path | None = None) -> dict[str, Path]:
        """Return the path of every domain.

        file: JSON file with one arch string per domain; None: the paths of the run. They are those
        that its search found, or the search it takes; or those of its approach, if the
        approach does not search.

        Raises `MpnasError` if the file cannot be read, if a domain or an arch string is unknown, or
        if the search is not finished.
        """
        if file is None and not isinstance(self.approach, Missing) and self.plan.paths is not None:
            return dict(self.plan.paths)
        if file is None and self.other is not None:
            return self.other.paths()
        if file is None:
            self._need("search")
            stage = StageFolder.read(self.folder / "search")
            archs, source = (
                stage.read_json("paths.json", dict[str, str]),
                stage.folder / "paths.json",
            )
        else:
            source = files.as_path(file, "paths file")
            archs = files.read_json(source, dict[str, str])
        if not archs:
            raise MpnasError(f"{source} has no paths: expected one arch string per domain.")
        for domain in archs:
            if domain not in self.domains:
                raise unknown(f"domain in {source}", domain, self.domains)
        paths = {domain: self.space.read(arch) for domain, arch in archs.items()}
        return paths if self.frozen is None else {**self.frozen.paths, **paths}

    # Results -------------------------------------------------------------------------------------

    def search_result(self) -> SearchResult:
        """Return the result of the finished search. The folder is read; no step is computed.

        Raises `MpnasError` if the search is not finished or the run has none.
        """
        if self.description.search_from is not None and self.other is not None:
            return self.other.search_result()
        if not self.finished("search"):
            self._refuse_other_search()
            self._need("search")
        return SearchResult.load(self.folder / "search", space=self.space, trust=self.trust)

    def train_result(self) -> TrainResult:
        """Return the result of the finished training. The folder is read; no step is computed.

        Raises `MpnasError` if the training is not finished.
        """
        self._need("train")
        return TrainResult.load(self.folder / "train", space=self.space, trust=self.trust)

    def compare(self) -> Comparison:
        """Return the finished trainings of this run and of its cells, side by side.

        Raises `MpnasError` if no training is finished.
        """
        from mpnas_kit.runs.sweep import finished_comparison

        return finished_comparison(self)

    @property
    def tables(self) -> RunTables:
        """Tables of the run's finished stages and cells, as tidy DataFrames (see `RunTables`).

        They are read when they are first used.
        """
        return RunTables(self)

    def report(self, out: str | pathlib.Path = "reports", **options: Any) -> pathlib.Path:
        """Run the notebooks on this run, write their pages, and return the index page.

        out: folder of the pages.
        options: further parameters of `mpnas_kit.report.build.build_report`.

        Raises `MpnasError` if a notebook or a parameter is unknown, or if a notebook fails.
        """
        from mpnas_kit.report.build import build_report

        index: pathlib.Path = build_report(run=self.begin(), out=out, trust=self.trust, **options)
        return index

    def sibling(
        self,
        folder: str | pathlib.Path,
        *,
        approach: Approach | str | None = None,
        search_from: str | pathlib.Path | None = None,
        matched_to: str | pathlib.Path | None = None,
    ) -> "Run":
        """Return a run in another folder with the profile, domains, space and start of this run.

        A new folder begins the run. Only in that case images are loaded, and the start. Parameters:
        see the class `Run`.
        """
        begun = files.exists(place(folder) / RUN)
        return Run(
            folder,
            profile=self.profile.name,
            data=self._suite if begun else self.suite,
            space=self.space,
            approach=approach,
            search_from=search_from,
            matched_to=matched_to,
            start=self._start if begun else self.start,
            trust=self.trust,
        )

    def about(self, stage: StageName) -> dict[str, Any]:
        """Return where a finished stage ran and how long: environment.json and timing.json."""
        folder = StageFolder.read(self.folder / stage, "environment.json", "timing.json")
        environment = folder.read_json("environment.json", Environment)
        timing = folder.read_json("timing.json", Timing)
        return {**asdict(environment), **asdict(timing)}

    def begin(self) -> pathlib.Path:
        """Return the folder. If it is new, create it and write its run.json."""
        Team.current().on_leader(lambda: self.description.write(self.folder))
        return self.folder

    def _refuse_other_search(self) -> None:
        if self.searches:
            return
        why = (
            f"it takes the search of {self.other.folder}"
            if self.description.search_from is not None and self.other is not None
            else f"the approach {label(self.approach)} does not search"
        )
        raise MpnasError(f"{self.folder} has no search stage: {why}.")

    def _need(self, stage: StageName) -> None:
        if self.finished(stage):
            return
        how = "was not finished" if self.begun(stage) else "was not begun"
        raise MpnasError(
            f"the {stage} stage of {self.folder} {how}: run `mpnas {stage} --run {self.folder}` "
            "first."
        )

    def __repr__(self) -> str:
        about = self.description
        return (
            f"Run({str(self.folder)!r}, {about.approach}, {about.profile}, "
            f"{len(self.domains)} domains)"
        )


def _unpickled(
    folder: pathlib.Path,
    trust: bool,
    suite: DomainSuite | None,
    start: Start | None,
    modules: Sequence[str],
    other_given: bool,
    description: RunDescription,
) -> Run:
    """Return the run in another process."""
    approve(modules)
    run = Run.__new__(Run)
    run.folder, run.trust, run.description = folder, trust, description
    run._found_later(suite, other_given)
    run._start = start
    return run


def _require_config(folder: pathlib.Path, finished: StageConfig, given: StageConfig) -> None:
    """Raise `MpnasError` if a finished stage had another config than the given one."""
    before, now = compared(to_dict(finished)), compared(to_dict(given))
    for name, value in now.items():
        if before[name] != value:
            raise other_setting(folder, name, before[name], value)
