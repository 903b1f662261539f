"""What stops a process from outside: SIGTERM counts as Ctrl-C, and so does a request to stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(KeyboardInterrupt):
    """Another process asked the stage to stop. Otherwise the same as a stop by SIGTERM.

    number: the signal.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(number)


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
