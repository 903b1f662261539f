"""The command `mpnas`, also as `python -m mpnas_kit`, as torchrun needs it."""

import os
import signal
import sys
from types import FrameType

from mpnas_kit.engine.parent import end_with_torchrun


def start() -> int:
    """Run the command line, and return its exit status.

    Loading the kit takes seconds. Ctrl-C and SIGTERM also end that without a traceback, and a rank
    also ends then if torchrun is killed. In a working folder that was deleted, libraries of torch
    end the process while they are loaded.
    """
    try:
        os.getcwd()
    except OSError:
        print("mpnas: the working folder was deleted: change to another one.", file=sys.stderr)
        return 2
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    noted = [one for one, how in before.items() if how not in (signal.SIG_IGN, None)]
    for one in noted:
        signal.signal(one, _leave)
    end_with_torchrun()
    from mpnas_kit.cli.commands import main

    for one in noted:
        signal.signal(one, before[one])
    return main()


def _leave(number: int, frame: FrameType | None) -> None:
    """End the process at once. An exception inside torch's own code would abort it."""
    os.write(2, b"\nmpnas: stopped before the command began.\n")
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(start())
