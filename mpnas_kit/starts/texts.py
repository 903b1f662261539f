"""Pretrained weights as text."""

import os
from dataclasses import replace
from typing import Any

from mpnas_kit import files
from mpnas_kit.errors import MpnasError, short, suggestion
from mpnas_kit.parts import Kind
from mpnas_kit.starts.checkpoints import SUFFIXES
from mpnas_kit.starts.networks import checkpoint_start, lite0_start, mobilenet_v3_large_start
from mpnas_kit.starts.source import Start


def _lacks(value: Any) -> str | None:
    return None if isinstance(value, Start) else "weights (it is not a Start)"


START = Kind(
    "start",
    {"lite0": lite0_start, "mobilenet_v3_large": mobilenet_v3_large_start},
    _lacks,
    frozenset({"mobilenet_v3_large"}),
)


def pretrained(text: str) -> Start:
    """Return the pretrained weights written as `text`, which a person gave.

    text: `lite0`, `mobilenet_v3_large(file='weights.pth', tensorflow=True)`, the path of a
    checkpoint, or weights of your own as `module:Name(option=value)`. A name of the kit comes
    before a file of this name: write `./lite0` for the file.

    Raises `MpnasError` if the text cannot be read, or there is no such file.
    """
    head = text.partition("(")[0].strip()
    if head in START.known or (":" in head and not files.exists(text)):
        found: Start = START.parse(text)
        return replace(found, text=text)
    is_file = os.path.splitext(text)[1].lower() in SUFFIXES
    if is_file or files.exists(files.as_path(text, "start")):
        return checkpoint_start(text)
    hint = suggestion(head, START.known)
    raise MpnasError(
        f"start {short(text)} is no file, no folder and no name: {hint}"
        f"{'Expected' if hint else 'expected'} {', '.join(START.known)}, the path of a checkpoint "
        f"({', '.join(SUFFIXES)}), or the folder of a finished training."
    )
