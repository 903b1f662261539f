"""JupyterLab on a run: the printed address opens the notebook, and nothing is left at the end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook import lab, lab_server
from mpnas_kit.notebook.lab import explore_notebook, open_lab
from mpnas_kit.notebook.lab_server import LabServer
from mpnas_kit.runs.run import Run

TESTS = Path(__file__).parents[1]
TINY: dict[str, Any] = {"data": "tiny:suite", "space": "tiny:space"}
ADDRESS = re.compile(r"^    (http://\S+)$", re.MULTILINE)
Explore = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that is begun."""
    return Run(tmp_path / "run", **TINY).begin()


@pytest.fixture
def explore(run: Path, tmp_path: Path) -> Iterator[Explore]:
    """A function that starts `mpnas explore` on the run, as in a terminal."""
    started: list[subprocess.Popen[str]] = []
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    own = {"PYTHONPATH": path, "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}

    def start(*options: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mpnas_kit", "explore", str(run), *options],
            env={**os.environ, **own, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()  # which also ends JupyterLab
        process.communicate()


def address_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The address that a command prints, and all that it printed up to its last line."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if line.startswith("Ctrl-C"):
            break
    found = ADDRESS.search(said)
    assert found is not None, said + process.communicate()[1]
    return found[1], said


def status(address: str, **headers: str) -> int:
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return int(answer.status)


def kernel_process(kernel: str) -> list[int]:
    """The numbers of the processes that have the name of a kernel on their command line."""
    lines = Path("/proc").glob("[0-9]*/cmdline")
    found = []
    for line in lines:
        try:
            if kernel.encode() in line.read_bytes():
                found.append(int(line.parent.name))
        except OSError:  # it has ended
            continue
    return found


def test_the_address_opens_the_notebook_and_ctrl_c_ends_server_and_kernels(
    explore: Explore, run: Path
) -> None:
    """With a proxy's path, on all addresses of the machine, also as root, without a display."""
    process = explore("--ip", "0.0.0.0", "--base-url", "/user/jo%40x/", DISPLAY="", BROWSER="")
    address, said = address_of(process)
    assert re.fullmatch(
        r"http://127\.0\.0\.1:\d+/user/jo%40x/lab/tree/explore\.ipynb\?token=\w{48}", address
    )
    assert said.count("http") == 1 and "all addresses of this machine" in said
    assert "Through a proxy" in said
    assert status(address) == status(address, Host="lab.example.org") == 200
    page, token = address.split("lab/tree/explore.ipynb?token=")
    contents = f"{page}api/contents/explore.ipynb?token={token}"
    with urllib.request.urlopen(contents, timeout=30) as answer:
        cells = json.load(answer)["content"]["cells"]
    assert any(f'run = "{run}"' in cell["source"] for cell in cells)
    with pytest.raises(urllib.error.HTTPError):
        status(contents.replace(token, "other"))
    begun = urllib.request.Request(f"{page}api/kernels?token={token}", data=b"{}")
    with urllib.request.urlopen(begun, timeout=60) as answer:
        kernel = json.load(answer)["id"]
    assert kernel_process(kernel)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "mpnas: stopped; JupyterLab and its kernels have ended." in err
    assert "Traceback" not in err
    assert not kernel_process(kernel)
    with pytest.raises(OSError):
        status(address)


KILLED = """
import pathlib, sys, time
from mpnas_kit.notebook.lab_server import LabServer
server = LabServer(pathlib.Path(sys.argv[1]), ["--no-browser", "--ServerApp.base_url=/mine/"], {})
print(server.url, flush=True)
time.sleep(600)
"""


def test_jupyterlab_ends_if_its_parent_is_killed(tmp_path: Path) -> None:
    """As if the terminal was closed."""
    notebook = tmp_path / "any.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), notebook)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(notebook)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline()
        assert "/mine/lab/tree/any.ipynb?token=" in address and status(address) == 200
        process.kill()
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            status(address)
        except OSError:
            return
        time.sleep(0.2)
    raise AssertionError("JupyterLab still answers")


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        (["--ServerApp.port=x"], {}, r"JupyterLab did not start \(status 1\): .*'port' trait.*\.$"),
        ([], {"JUPYTERLAB_DIR": "/nonexistent"}, r"JupyterLab cannot show its page \(status 500\)"),
    ],
)
def test_a_server_that_does_not_start_is_one_sentence(
    options: list[str],
    environment: dict[str, str],
    message: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    notebook = tmp_path / "any.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), notebook)
    with pytest.raises(MpnasError, match=message):
        LabServer(notebook, ["--no-browser", *options], environment)
    assert capfd.readouterr() == ("", "")


# Without a server ---------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The servers that would have been started: notebook, options and environment."""
    servers: list[Any] = []

    class Server:
        url, is_open = "http://localhost:8888/lab", False

        def __init__(self, *given: Any) -> None:
            servers.append(given)

        def __enter__(self) -> "Server":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def wait(self) -> None:
            pass

    monkeypatch.setattr(lab, "LabServer", Server)
    return servers


def test_a_browser_is_opened_only_on_a_display(
    run: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    open_lab(Run.read(run))
    monkeypatch.setenv("DISPLAY", ":0")
    open_lab(Run.read(run))
    open_lab(Run.read(run), browser=False)
    assert ["--no-browser" in options for _, options, _ in started] == [True, False, True]


def test_a_port_that_is_taken_is_refused_and_another_one_is_taken(
    run: Path, started: list[Any]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(MpnasError, match=f"cannot listen on port {port} of 'localhost'"):
            open_lab(Run.read(run), port=port)
    assert not (run / "explore.ipynb").exists()
    open_lab(Run.read(run), port=port)
    ((notebook, options, _),) = started
    assert notebook == run / "explore.ipynb"
    assert f"--ServerApp.port={port}" in options and "--ServerApp.port_retries=0" in options


def test_what_jupyterlab_needs_is_named(
    run: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(lab_server, "find_spec", lambda name: None)
        with pytest.raises(MpnasError, match="JupyterLab is missing: .*`pip install jupyterlab`"):
            open_lab(Run.read(run))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "/proc/runtime")
    with pytest.raises(MpnasError, match="create the folder /proc/runtime.*JUPYTER_RUNTIME_DIR"):
        open_lab(Run.read(run))
    assert not started


def test_the_notebook_of_a_run_that_cannot_be_written_is_in_the_working_folder(
    run: Path, tmp_path: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a copy of the one in the run folder, if there is one, and is kept from then on."""
    mine = nbformat.read(explore_notebook(Run.read(run)), as_version=4)
    mine.cells.append(nbformat.v4.new_code_cell("mine = 1"))
    nbformat.write(mine, run / "explore.ipynb")
    before = (run / "explore.ipynb").read_bytes()
    refused = {run}

    def require_writable(folder: Path) -> None:
        if folder in refused:
            raise MpnasError(f"cannot write in {folder}: read-only file system.")

    monkeypatch.setattr(lab, "require_writable", require_writable)
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    open_lab(Run.read(run), tell=said.append)
    elsewhere = tmp_path / "run_explore.ipynb"
    assert started[0][0] == elsewhere
    assert said[0] == f"{run} cannot be written, so the notebook is {elsewhere}."
    sources = [cell.source for cell in nbformat.read(elsewhere, as_version=4).cells]
    assert sources[-1] == "mine = 1" and any(f'run = "{run}"' in s for s in sources)
    own = nbformat.read(elsewhere, as_version=4)
    own.cells.append(nbformat.v4.new_code_cell("mine = 2"))
    nbformat.write(own, elsewhere)
    kept = elsewhere.read_bytes()
    assert explore_notebook(Run.read(run)) == elsewhere
    assert elsewhere.read_bytes() == kept and (run / "explore.ipynb").read_bytes() == before
    elsewhere.unlink()
    elsewhere.mkdir()
    with pytest.raises(MpnasError, match=r"run_explore.ipynb.*(folder|directory)"):
        explore_notebook(Run.read(run))
