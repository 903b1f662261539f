"""The command `mpnas`, also as `python -m mpnas_kit`, as torchrun needs it."""

import os
import sys

from mpnas_kit.engine.parent import end_with_torchrun


def start() -> int:
    """Run the command line, and return its exit status.

    Loading the kit takes seconds. Ctrl-C also ends that without a traceback, and a rank also ends
    then if torchrun is killed. In a working folder that was deleted, libraries of torch end the
    process while they are loaded.
    """
    try:
        os.getcwd()
    except OSError:
        print("mpnas: the working folder was deleted: change to another one.", file=sys.stderr)
        return 2
    try:
        end_with_torchrun()
        from mpnas_kit.cli.commands import main
    except KeyboardInterrupt:
        print("\nmpnas: stopped before the command began.", file=sys.stderr)
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(start())
