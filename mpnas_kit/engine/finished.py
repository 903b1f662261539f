"""A finished stage, read from its folder: config, space and metrics. Nothing is computed."""

import pathlib
from dataclasses import dataclass
from typing import Generic, TypeVar

import pandas as pd

from mpnas_kit.engine.config import StageConfig
from mpnas_kit.engine.loop import history_table
from mpnas_kit.engine.records import Results, StageConfigFile
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.errors import MpnasError, Unavailable
from mpnas_kit.settings import from_dict, read_dict
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.texts import SPACE, read_space

Config = TypeVar("Config", bound=StageConfig)
Form = TypeVar("Form", bound=Results)


@dataclass(frozen=True)
class Finished(Generic[Config, Form]):
    """What the folder of a finished stage holds for every kind of stage.

    folder: the stage folder.
    content: config.json.
    config: settings of the stage.
    space: search space.
    results: content of results.json.
    """

    folder: StageFolder
    content: StageConfigFile
    config: Config
    space: SearchSpace
    results: Form


def read_finished(
    folder: str | pathlib.Path,
    cls: type[Config],
    form: type[Form],
    space: SearchSpace | None,
    config: Config | None,
    trust: bool,
) -> Finished[Config, Form]:
    """Return the content of the folder of a finished stage.

    folder: stage folder.
    cls: class of its config.
    form: form of its results.json.
    space, config: those of the stage. None: those that the folder records.
    trust: whether modules that the folder names are imported.

    Raises `MpnasError` if the stage is not finished or a file is damaged, and `Unavailable` if the
    space cannot be made from the folder.
    """
    stage = StageFolder.read(folder, "results.json")
    content = stage.read_config()
    if content.stage != cls.stage:
        raise MpnasError(f"{stage.folder} holds a {content.stage} stage, not a {cls.stage} stage.")
    if config is None:
        config = recorded_config(stage, cls, trust)
    if space is None:
        space = recorded_space(stage, trust)
    return Finished(stage, content, config, space, stage.read_json("results.json", form))


def recorded_config(stage: StageFolder, cls: type[Config], trust: bool) -> Config:
    """Return the config that a stage folder records.

    cls: class of the config.
    trust: whether modules that the folder names are imported.

    Raises `MpnasError` that names the file if a setting is wrong.
    """
    try:
        return from_dict(cls, read_dict(stage.read_config().config, cls, trust), cls.stage)
    except Unavailable:
        raise
    except MpnasError as error:
        file = str(stage.folder / "config.json")
        if file in str(error):
            raise
        raise MpnasError(f"{file} cannot be read: {error}") from None


def recorded_space(folder: StageFolder, trust: bool) -> SearchSpace:
    """Return the search space that a stage folder records.

    Folders of release 0.1 record only a name. For them the kit's own spaces can be found.

    trust: whether modules that the folder names are imported.

    Raises `Unavailable` if the space cannot be made from the folder.
    """
    content = folder.read_config()
    described = content.record.space
    if described is not None:
        return read_space(described, trust)
    name, fingerprint = content.space.name, content.space.fingerprint
    maker = SPACE.known.get(name)
    space = maker() if maker is not None else None
    if space is None or space.fingerprint() != fingerprint:
        raise Unavailable(
            f"{folder.folder} was made by release 0.1 of the kit, which recorded only the name of "
            f"the space, {name!r}: expected the space itself, as `space`."
        )
    return space  # type: ignore[no-any-return]


def read_history(folder: StageFolder, steps: int) -> pd.DataFrame:
    """Return `history_table` of a finished stage. Raises `MpnasError` if steps are missing."""
    rows = folder.metrics()
    if len(rows) != steps:
        raise MpnasError(
            f"{folder.folder / 'metrics.jsonl'} has {len(rows)} lines: expected {steps}, one per "
            "step. The file is missing or incomplete."
        )
    return history_table(rows)
