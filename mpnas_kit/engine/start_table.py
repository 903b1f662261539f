"""start.csv: what the start of a stage gave to every tensor of its network."""

import io

import pandas as pd

from mpnas_kit.engine.records import Results
from mpnas_kit.engine.stage_folder import RESULTS, StageFolder
from mpnas_kit.errors import MpnasError, reason

START = "start.csv"


def as_read(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as `read_start_table` returns it: all values are text."""
    return _parsed(_content(table))


def write_start_table(folder: StageFolder, table: pd.DataFrame) -> None:
    """Write the table of a start (see `Loaded`) into a stage folder."""
    folder.write(START, _content(table))


def read_start_table(folder: StageFolder) -> pd.DataFrame | None:
    """Return the table of the start of a finished stage, or None if it had no start.

    Raises `MpnasError` if it cannot be read.
    """
    if START not in (folder.read_json(RESULTS, Results).files or ()):
        return None
    try:
        return _parsed(folder.read_bytes(START))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and those of pandas
        raise MpnasError(
            f"{folder.folder / START} cannot be read: it is not a table ({reason(error)})."
        ) from None


def _content(table: pd.DataFrame) -> bytes:
    text: str = table.to_csv(index=False)
    return text.encode()


def _parsed(content: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
