"""The latency of a path as its cost: the sum of measured times, read from a table."""

import contextlib
import hashlib
import os
import pathlib
from dataclasses import dataclass
from functools import cached_property

from mpnas_kit import files
from mpnas_kit.domains.cache import remember_given
from mpnas_kit.errors import MpnasError
from mpnas_kit.parts import approve_text, to_text
from mpnas_kit.settings import check
from mpnas_kit.space.latency_file import CALL, Unit, parse_latency
from mpnas_kit.space.layers import Use
from mpnas_kit.space.space import SearchSpace


@dataclass(frozen=True)
class LatencyTable:
    """Latency of a path for one image, from a table of measured times.

    `latency(path) = time of a call + sum over its blocks of the time of the block`

    `mpnas profile` measures a table on this machine. A table that was measured elsewhere, such as
    on a phone, is a CSV file with one row per distinct unit of work (see `docs/deploy.md`). Sums of
    measured blocks as the latency of a path: ProxylessNAS (Cai et al., ICLR 2019, arXiv
    1812.00332) and FBNet (Wu et al., CVPR 2019, arXiv 1812.03443).

    path: the CSV file. A relative path begins in the working folder.
    checksum: first 16 digits of the SHA-256 checksum of the file, in hexadecimal; None: that of the
    file as it is now. A run folder records it, so a run never continues with another table.
    unit: `ms`.

    Raises `MpnasError` if the file cannot be read or a time is missing. If `checksum` is given, the
    file is read when a time is first needed.

    >>> table = mk.LatencyTable("latency.csv")  # doctest: +SKIP
    >>> mk.path_costs(table, space, paths)  # doctest: +SKIP
    {'digits': 0.0612, 'letters': 0.0534}
    """

    path: str
    checksum: str | None = None

    unit = "ms"
    text_name = "latency"

    def __post_init__(self) -> None:
        path = os.path.abspath(files.as_path(self.path, "latency: path"))
        object.__setattr__(self, "path", path)
        check(self, "latency")
        if self.checksum is None:
            content = files.read_bytes(self._file)
            object.__setattr__(self, "checksum", _checksum(content))
            self._times  # noqa: B018 # so that a person who gives a wrong table knows it at once
            text = to_text(self)
            approve_text(text)
            with contextlib.suppress(MpnasError):  # without a cache, it must be given again
                remember_given(text)

    @property
    def _file(self) -> pathlib.Path:
        return pathlib.Path(self.path)

    @cached_property
    def _times(self) -> dict[Unit, float]:
        """Time of every unit of the table, milliseconds."""
        content = files.read_bytes(self._file)
        if _checksum(content) != self.checksum:
            raise MpnasError(
                f"{self.path} has changed: its checksum is {_checksum(content)}, but this cost was "
                f"given with {self.checksum}. Put the earlier file back, or begin another run."
            )
        times = parse_latency(content, self._file).times
        missing = [unit for unit, time in times.items() if time is None]
        if missing:
            raise MpnasError(
                f"{self.path} has no time for {len(missing)} of {len(times)} rows, such as "
                f"{missing[0].row()}: expected milliseconds in every row. `mpnas profile` measures "
                "what is missing."
            )
        return {unit: time.milliseconds for unit, time in times.items() if time is not None}

    @cached_property
    def _calls(self) -> dict[int, float]:
        """Time of a call, by resolution of the images."""
        return {u.resolution: time for u, time in self._times.items() if u.block == CALL}

    def price(self, use: Use) -> float:
        """Return the time of a block as a path uses it, in ms.

        The first layer, which no path skips, also has the time of a call: its input is the image.

        Raises `MpnasError` that names the block if the table has no row for it.
        """
        time = self._times.get(Unit.of(use))
        if time is None:
            raise self._missing(
                f"block {use.block.name!r}, {use.in_channels} to {use.out_channels} channels, "
                f"stride {use.stride}, at {use.size} px",
                Unit.of(use).row(),
            )
        return time + self._call(use.size) if use.node.layer == 0 else time

    def _call(self, resolution: int) -> float:
        """Return the time of a call for images of `resolution` pixels."""
        if resolution not in self._calls:
            row = Unit(CALL, 3, 10, 1, resolution).row()
            raise self._missing(f"a call with images of {resolution} px", row)
        return self._calls[resolution]

    def _missing(self, what: str, row: str) -> MpnasError:
        return MpnasError(
            f"{self.path} has no row for {what}: expected a row that begins with {row}. "
            "`mpnas profile` measures what is missing."
        )

    def require_space(self, space: SearchSpace) -> None:
        """Raise `MpnasError` if the table lacks a row that a path through `space` may need."""
        for use in space.all_uses():
            self.price(use)


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
