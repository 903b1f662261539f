"""A process ends with its parent, also if the parent is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

CHILD = """
import os, signal, time
from mpnas_kit.engine.parent import end_with_parent

signal.signal(signal.SIGTERM, {handler})
end_with_parent(os.getppid())
print(os.getpid(), flush=True)
time.sleep(60)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.mark.parametrize("handler", ["signal.SIG_DFL", "lambda *_: time.sleep(60)"])
def test_a_child_ends_soon_after_its_parent_was_killed(handler: str) -> None:
    child = CHILD.format(handler=handler)
    arguments = [sys.executable, "-c", PARENT, child]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        number = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        assert parent.wait() == -signal.SIGKILL
        until = time.monotonic() + 20
        while _runs(number) and time.monotonic() < until:
            time.sleep(0.1)
        assert not _runs(number)


def _runs(number: int) -> bool:
    """Whether a process runs. One that nobody waits for has ended, too."""
    try:
        os.kill(number, 0)
        with open(f"/proc/{number}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
