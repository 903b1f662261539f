"""The command `mpnas`, also as `python -m mpnas_kit`, as torchrun needs it."""

import sys


def start() -> int:
    """Run the command line, and return its exit status.

    Loading the kit takes seconds. Ctrl-C also ends that without a traceback.
    """
    try:
        from mpnas_kit.cli.commands import main
    except KeyboardInterrupt:
        print("\nmpnas: stopped before the command began.", file=sys.stderr)
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(start())
