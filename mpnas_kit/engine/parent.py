"""Processes that end with the process that started them: ranks and the jobs of a sweep.

If a parent is killed, the system lets its children run on. They would keep stage folders locked,
and use the processors, although nobody waits for their results.
"""

import os
import signal
import threading
import time

INTERVAL = 0.5  # seconds between two looks at the parent
GRACE = 3.0  # seconds in which a stage can write a checkpoint
_WATCH = "end with parent"  # name of the thread


def end_with_parent(parent: int) -> None:
    """Watch the parent in a thread, and end this process soon after the parent has ended.

    This process then gets SIGTERM, so a stage ends its step and writes a checkpoint. If that takes
    longer than `GRACE`, the process ends without it.

    parent: number of the parent process, as `os.getppid` returns it while the parent runs.
    """
    if any(thread.name == _WATCH for thread in threading.enumerate()):
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(INTERVAL)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, name=_WATCH, daemon=True).start()


def end_with_torchrun() -> None:
    """If torchrun started this process, end it soon after torchrun has ended."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent(os.getppid())
