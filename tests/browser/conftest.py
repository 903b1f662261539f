"""A real browser for the pages: the Chromium of the system. It reaches no other machine."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tabs import Tab, new_tab

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium. If it is missing, tests are skipped; under CI they fail."""
    chromium = shutil.which("chromium")
    if chromium is None:
        message = "no `chromium` on the path: the pages are not checked in a browser"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS) as chrome,
    ):
        yield chrome


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A new tab and its records."""
    with new_tab(browser) as tab:
        yield tab


@pytest.fixture
def page(tab: Tab) -> Page:
    """The page of `tab`."""
    return tab.page
