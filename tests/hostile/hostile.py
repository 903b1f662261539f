"""What the hostile tests share: the content of a folder, and a callback that stops a stage."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from mpnas_kit.engine.loop import StepEvent

SMALL = ["--batch-size", "4", "--threads", "1", "--checkpoint-every", "1"]
TINY = ["--data", "tiny:suite", "--space", "tiny:space"]
Tree = dict[str, tuple[int, bytes]]
Refused = Callable[..., str]


def tree(folder: Path) -> Tree:
    """Type and content of everything in a folder, by its relative path. Links are not followed."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(place) / name
            mode = path.lstat().st_mode
            content = b""
            if stat.S_ISLNK(mode):
                content = os.fsencode(os.readlink(path))
            elif stat.S_ISREG(mode):
                content = path.read_bytes()
            found[str(path.relative_to(folder))] = (stat.S_IFMT(mode), content)
    return found


def stop_after_two(event: StepEvent) -> None:
    """A callback that stops a stage as Ctrl-C does."""
    if event.step == 2:
        raise KeyboardInterrupt
