"""The process of JupyterLab: start it on a notebook, find its address, and end it with its kernels.

JupyterLab has a session of its own, so that Ctrl-C in the terminal does not reach it. It is asked
to end instead, and also ends if the process that started it does.
"""

import contextlib
import os
import pathlib
import re
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from types import TracebackType

from msgspec import Struct

from mpnas_kit import files
from mpnas_kit.errors import MpnasError, reason, short

_PROGRAM = """
import sys
from mpnas_kit.engine.parent import end_with_parent
end_with_parent(int(sys.argv.pop(1)))
from jupyterlab.labapp import main
main()
"""
_PATIENCE = 120.0  # seconds until JupyterLab answers
_GRACE = 10.0  # seconds until it has ended
_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # all addresses, and one that can be opened


class _About(Struct):
    """What a Jupyter server writes about itself into jpserver-PID.json."""

    hostname: str
    port: int
    base_url: str
    token: str
    secure: bool


class LabServer:
    """JupyterLab that serves the folder of a notebook. A context: it has ended after the body.

    notebook: notebook file that the address opens.
    options: options of `jupyter lab`.
    environment: environment variables that differ from those of this process.

    The attribute `url` is the address that opens the notebook on this machine, with its token.
    `is_open`: whether the server listens on all addresses of this machine.

    Raises `MpnasError` if JupyterLab ends before it answers, or cannot show its page.
    """

    def __init__(
        self, notebook: pathlib.Path, options: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._said: deque[str] = deque(maxlen=100)  # messages of JupyterLab before it answers
        self._is_loud = False
        runtime = _runtime_folder()
        root = ["--allow-root"] if os.geteuid() == 0 else []  # as in many containers
        arguments = [
            str(notebook.absolute()),
            f"--ServerApp.root_dir={notebook.absolute().parent}",
            "--Application.log_level=WARN",
            *root,
            *options,
        ]
        token = {"JUPYTER_TOKEN": secrets.token_hex(24)}  # else JupyterLab prints its own address
        given = {**os.environ, **environment}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(os.getpid()), *arguments],
            env=given if given.keys() & {"JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE"} else given | token,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._pass_on, daemon=True)
        self._reader.start()
        try:
            about = self._about(runtime / f"jpserver-{self._process.pid}.json")
            self.url, self.is_open = self._address(about, notebook.name), about.hostname in _LOCAL
            self._require_page()
        except BaseException:
            self._end()
            raise
        self._is_loud = True

    def __enter__(self) -> "LabServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def wait(self) -> None:
        """Wait until JupyterLab ends. Raises `MpnasError` if it ends with an error."""
        status = self._process.wait()
        if status:
            raise MpnasError(f"JupyterLab ended with status {status}: see its message above.")

    def _pass_on(self) -> None:
        """Print the messages of JupyterLab, but keep those from before it answers."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if self._is_loud:
                sys.stderr.write(line)
            else:
                self._said.append(line)

    def _about(self, file: pathlib.Path) -> _About:
        """Return what the server says about itself, once it does."""
        old = files.stamp(str(file))  # of an earlier process with the same number
        end = time.monotonic() + _PATIENCE
        while self._process.poll() is None and time.monotonic() < end:
            if files.stamp(str(file)) not in (None, old):
                with contextlib.suppress(MpnasError):  # half written
                    return files.read_json(file, _About)
            time.sleep(0.05)
        raise self._not_started()

    def _not_started(self) -> MpnasError:
        """Return the error that names the last message of JupyterLab."""
        if self._process.poll() is None:
            return MpnasError(f"JupyterLab did not answer within {_PATIENCE:.0f} seconds.")
        self._reader.join(_GRACE)
        lines = [re.sub(r"^\[\w [^]]*\] ", "", line.strip()) for line in self._said]
        why = next((line for line in reversed(lines) if line), "without a message").rstrip(".")
        return MpnasError(f"JupyterLab did not start (status {self._process.returncode}): {why}.")

    @staticmethod
    def _address(about: _About, notebook: str) -> str:
        host = _LOCAL.get(about.hostname, about.hostname)
        place = f"{f'[{host}]' if ':' in host else host}:{about.port}"
        query = f"?{urllib.parse.urlencode({'token': about.token})}" if about.token else ""
        scheme = "https" if about.secure else "http"
        page = f"{about.base_url}lab/tree/{urllib.parse.quote(notebook)}"
        return f"{scheme}://{place}{page}{query}"

    def _require_page(self) -> None:
        """Wait until the page of the notebook can be opened.

        Raises `MpnasError` if the server does not answer or has no page.
        """
        encrypted = ssl._create_unverified_context()  # the certificate is for another name
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=encrypted)
        )
        end = time.monotonic() + _PATIENCE
        while self._process.poll() is None and time.monotonic() < end:
            try:
                opener.open(self.url, timeout=_PATIENCE).close()
                return
            except urllib.error.HTTPError as error:
                raise MpnasError(
                    f"JupyterLab cannot show its page (status {error.code}): expected its files in "
                    f"{pathlib.Path(sys.prefix) / 'share/jupyter/lab'}. `pip install "
                    "--force-reinstall jupyterlab` writes them."
                ) from None
            except OSError:  # it does not answer yet
                time.sleep(0.05)
        raise self._not_started()

    def _end(self) -> None:
        """Ask JupyterLab to end, which also ends its kernels, and wait for that."""
        self._is_loud = False
        try:
            self._process.terminate()
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
            self._process.wait()


def _runtime_folder() -> pathlib.Path:
    """Return the folder in which Jupyter servers write about themselves. Make it if necessary."""
    from jupyter_core.paths import jupyter_runtime_dir

    folder = pathlib.Path(jupyter_runtime_dir())
    try:
        files.require_writable(files.make_folder(folder))
    except MpnasError as error:
        raise MpnasError(
            f"{error} JupyterLab needs this folder: set HOME or JUPYTER_RUNTIME_DIR to a folder in "
            "which you can write."
        ) from None
    return folder


def require_possible(ip: str, port: int) -> None:
    """Raise `MpnasError` if JupyterLab is missing, or cannot listen on an address of this machine.

    ip: address or name of this machine.
    port: number of the port; 0: any free one.
    """
    if find_spec("jupyterlab") is None:
        raise MpnasError("JupyterLab is missing: install it, as with `pip install jupyterlab`.")
    _runtime_folder()
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(ip, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            return
    except (OSError, ValueError) as error:  # also an unknown name, or none
        why = reason(error)
    if port:
        raise MpnasError(
            f"JupyterLab cannot listen on port {port} of {short(ip)} ({why}): expected a free "
            "port, or none, for the next free one."
        )
    raise MpnasError(
        f"JupyterLab cannot listen on ip {short(ip)} ({why}): expected an address of this machine."
    )


def has_display() -> bool:
    """Return whether a browser with windows can be opened from here."""
    if sys.platform == "darwin" or os.environ.get("BROWSER"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
