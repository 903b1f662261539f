"""The formats of exported files: names, endings, and what each is for."""

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from mpnas_kit.deploy.interval import in_words
from mpnas_kit.errors import MpnasError

Format = Literal["onnx", "onnx-folded", "onnx-int8", "pte"]
BATCHES = (1, 64)  # images per call, of the latencies that are measured


@dataclass(frozen=True)
class About:
    """What a person needs to know to choose a format.

    ending: how the names of its files end.
    alone: whether every domain has a file of its own.
    size: bytes of the files, relative to those of one ONNX file per domain.
    latency: times of 1 and of 64 images on a CPU, relative to plain torch.
    use: what the format is for.
    """

    ending: str
    alone: bool
    size: str
    latency: str
    use: str

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Files, size, latency and use, as a row of a table."""
        return "one per domain" if self.alone else "one", self.size, self.latency, self.use


FORMATS: dict[Format, About] = {
    "onnx": About(
        ".onnx",
        False,
        "0.64",
        "0.05, 0.4 (not cut out: 0.7, 3.3)",
        "one app that serves all domains",
    ),
    "onnx-folded": About(
        ".onnx", True, "1", "0.05, 0.4", "one domain; tools that cannot cut a file"
    ),
    "onnx-int8": About(".onnx", True, "0.55", "0.13, 0.8", "the smallest files"),
    "pte": About(".pte", False, "0.87", "0.13, 1.4", "phones, with ExecuTorch"),
}
HEADINGS = ("format", "files", "size", "latency", "what it is for")


def format_table() -> str:
    """Return the formats as a table for a terminal."""
    rows = [HEADINGS, *((name, *about.cells) for name, about in FORMATS.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def file_paths(
    out: pathlib.Path, format: Format, domains: Sequence[str]
) -> dict[pathlib.Path, tuple[str, ...]]:
    """Return the files of an export, and the domains of each.

    out: path that was asked for. If several files are written, `mine.onnx` becomes
    `mine-DOMAIN.onnx`.
    format: name of the format.
    domains: names of all domains to write.

    Raises `MpnasError` if the path does not end as the format asks.
    """
    about = FORMATS[format]
    if out.suffix != about.ending:
        raise MpnasError(
            f"out must be a file that ends with {about.ending} for the format {format!r}, not "
            f"{str(out)!r}."
        )
    if not about.alone or len(domains) == 1:
        return {out: tuple(domains)}
    return {out.with_name(f"{out.stem}-{name}{about.ending}"): (name,) for name in domains}


@dataclass(frozen=True)
class Quantization:
    """What int8 changed in a file: its float form (`onnx-folded`) before, and the file after.

    calibrated: number of images that the ranges of the activations come from.
    images: number of images that the two were compared on.
    agreement: share of these images that have the same most probable class, 0 to 1.
    labelled: number of test images with labels; 0: there are none.
    accuracy: top-1 accuracies before and after on these, 0 to 1; None: there are no labels.
    bytes: sizes before and after.
    milliseconds: median wall times of one call before and after, by images per call. One thread of
    the machine that exported.
    """

    calibrated: int
    images: int
    agreement: float
    labelled: int
    accuracy: tuple[float, float] | None
    bytes: tuple[int, int]
    milliseconds: dict[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def lost(self) -> float:
        """Accuracy that was lost; without labels the most it can be, `1 - agreement`."""
        if self.accuracy is None:
            return 1 - self.agreement
        before, after = self.accuracy
        return before - after

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """Measure, before and after, as rows of a table. Shares have 95 % Wilson intervals."""

        scores = [] if self.accuracy is None else [self.accuracy]
        n = self.labelled
        return [
            *(("accuracy", in_words(a, n), in_words(b, n)) for a, b in scores),
            ("same class", "", in_words(self.agreement, self.images)),
            ("bytes", f"{self.bytes[0]:,}", f"{self.bytes[1]:,}"),
            *(
                (f"ms for {count} image{'s' * (count > 1)}", f"{a:.2f}", f"{b:.2f}")
                for count, (a, b) in self.milliseconds.items()
            ),
        ]


@dataclass(frozen=True)
class Written:
    """An exported file.

    path: the file.
    domains: names of its domains.
    bytes: size of the file.
    difference: largest difference of logits between the file and torch, on random images and on
    those that were given. It is relative to the largest logit if that is above 1.
    quantization: what int8 changed; None: the file has float weights.
    """

    path: pathlib.Path
    domains: tuple[str, ...]
    bytes: int
    difference: float
    quantization: Quantization | None = None
