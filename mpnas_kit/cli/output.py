"""Output of a command that is closed, full, or not UTF-8."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def usable_streams() -> Iterator[None]:
    """Inside, everything can be printed. At the end, all of it has reached its reader.

    A character that the encoding of the output lacks is printed as a question mark. What is printed
    to a stream that was closed before the command started is lost.

    Raises `OSError` if the output cannot be written.
    """
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (stream or nowhere for stream in before)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        try:
            yield
            sys.stdout.flush()
        except OSError:
            _forget_output()
            raise
        finally:
            sys.stdout, sys.stderr = before


def _forget_output() -> None:
    """Send what is left of the output nowhere. Python would try to write it again at its end."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError, AttributeError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
