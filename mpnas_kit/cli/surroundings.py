"""What a command finds around it: output that is closed or not UTF-8, and signals."""

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Inside, SIGTERM raises `KeyboardInterrupt`, as SIGINT does. Its argument is the signal.

    Schedulers and containers stop a process by SIGTERM. Signals reach the main thread only, so in
    another thread nothing changes. A signal that the process ignores stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    noted = [s for s, how in before.items() if how not in (signal.SIG_IGN, None)]
    for one in noted:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one in noted:
            signal.signal(one, before[one])
