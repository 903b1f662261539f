"""Where a stage runs: platform, versions, threads, and git commit of the working folder."""

import os
import platform
import subprocess
from importlib.metadata import version
from typing import Any

from mpnas_kit.kernels.threads import kernel_threads

_VERSIONS = ("torch", "numpy", "pandas", "safetensors")


def current_environment() -> dict[str, Any]:
    """Return the content of environment.json, without the kernels of the stage.

    git_commit is None outside of a git repository.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": kernel_threads(),
        "versions": {name: version(name) for name in _VERSIONS},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain")),
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = done.stdout.decode("utf-8", "replace")  # a file name may have any bytes
    return text.strip() if done.returncode == 0 else None
