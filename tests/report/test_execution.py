"""Notebooks run in a kernel of this Python, which ends with the process that started it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, writes

from mpnas_kit.errors import MpnasError
from mpnas_kit.report.execution import Source, execute

WHERE = """
import os, sys
import matplotlib.pyplot
print(sys.executable)
print(os.access(os.environ["MPLCONFIGDIR"], os.W_OK))
"""
WAITING = """
import os, pathlib, subprocess, time
child = subprocess.Popen(["sleep", "600"])
pathlib.Path("started").write_text(f"{os.getpid()} {child.pid}")
while True:
    pass
"""
REPORT = """
import pathlib
from mpnas_kit.report.execution import Source, execute
execute(Source.read(pathlib.Path("mine.ipynb")), pathlib.Path("copy.ipynb"), {})
"""


def source(file: Path, code: str) -> Source:
    other = {"kernelspec": {"name": "other", "display_name": "Other", "language": "python"}}
    file.write_text(writes(new_notebook(cells=[new_code_cell(code)], metadata=other)))
    return Source.read(file)


def test_only_this_python_runs_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = {"argv": ["/bin/false"], "display_name": "Python 3", "language": "python"}
    for name in ("python3", "other"):
        (tmp_path / "kernels" / name).mkdir(parents=True)
        (tmp_path / "kernels" / name / "kernel.json").write_text(json.dumps(kernel))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("HOME", "/proc/none")  # cannot be written, not even by root
    for name in ("MPLCONFIGDIR", "IPYTHONDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "{run} #1"
    folder.mkdir()
    executed = execute(source(tmp_path / "mine.ipynb", WHERE), folder / "copy.ipynb", {})
    (output,) = executed.cells[0].outputs  # no warning of a library
    assert output.text.split() == [sys.executable, "True"]
    assert executed.metadata.kernelspec.name == "python3"
    assert [p.name for p in folder.iterdir()] == ["copy.ipynb"]


def test_a_dead_kernel_is_named_and_the_copy_kept(tmp_path: Path) -> None:
    mine = source(tmp_path / "mine.ipynb", "print('so far', flush=True)\nimport os\nos._exit(1)")
    with pytest.raises(MpnasError, match="notebook mine.ipynb: the kernel died"):
        execute(mine, tmp_path / "copy.ipynb", {})
    assert (tmp_path / "copy.ipynb").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_kernel_ends_with_its_report(tmp_path: Path, number: signal.Signals) -> None:
    source(tmp_path / "mine.ipynb", WAITING)
    (tmp_path / "copy.ipynb").write_text("an earlier copy")
    interruptible = (
        f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler){REPORT}"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", interruptible], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    started = tmp_path / "started"
    while not (started.exists() and started.read_text()):
        time.sleep(0.05)
    kernels = [int(text) for text in started.read_text().split()]
    process.send_signal(number)
    assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]
    assert not any(_runs(pid) for pid in kernels)
    assert (tmp_path / "copy.ipynb").read_text() == "an earlier copy"
    assert sorted(os.listdir(tmp_path)) == ["copy.ipynb", "mine.ipynb", "started"]


def _runs(pid: int) -> bool:
    """Return whether a process runs. One that has ended may wait for its parent."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
