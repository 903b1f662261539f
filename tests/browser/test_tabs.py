"""The browser of these tests: it reaches only this machine, and errors are recorded."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page
from tabs import Tab, findings

pytestmark = pytest.mark.xdist_group("browser")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a server on this machine that serves `tmp_path`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_requests_to_other_machines_are_blocked_and_recorded(tab: Tab) -> None:
    tab.page.set_content("<script src='http://elsewhere.test/x.js'></script>")
    reached = "address => new Promise(done => { const socket = new WebSocket(address);"
    reached += " socket.onopen = () => done(true); socket.onerror = () => done(false) })"
    assert tab.page.evaluate(reached, "ws://elsewhere.test/y") is False
    assert tab.outgoing == ["http://elsewhere.test/x.js", "ws://elsewhere.test/y"]
    with pytest.raises(AssertionError, match="elsewhere"):
        tab.check()


def test_this_machine_is_reached(tab: Tab, server: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<link rel='icon' href='data:,'><p>here</p>")
    for address in (f"{server}/a.html", (tmp_path / "a.html").as_uri()):
        tab.page.goto(address)
        assert tab.page.inner_text("p") == "here"
    tab.check()


def test_errors_in_a_page_are_recorded(tab: Tab, server: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<link rel='icon' href='data:,'><img src='none.png'>")
    tab.page.goto(f"{server}/a.html")
    assert tab.failed == [f"{server}/none.png: 404"]
    tab.page.goto((tmp_path / "a.html").as_uri())
    assert len(tab.failed) == 2
    tab.errors.clear()
    tab.page.evaluate("setTimeout(() => { throw new Error('thrown') })")
    tab.page.evaluate("() => new Promise(done => setTimeout(done, 10))")
    assert any("thrown" in error for error in tab.errors)


def test_axe_finds_text_without_contrast_and_images_without_alt(page: Page) -> None:
    page.set_content("<p style='color: #bbb; background: #fff'>pale</p><img src='data:,'>")
    assert {line.split(":")[0] for line in findings(page)} >= {
        "serious color-contrast",
        "critical image-alt",
    }
    assert all("color-contrast" in line for line in findings(page, "color-contrast"))
