"""A browser tab without a network, its errors, and the findings of axe-core in its page."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, Route

HERE = re.compile(r"(file|data|blob|about):|(https?|wss?)://(127\.0\.0\.1|localhost)([:/]|$)")


@dataclass(frozen=True)
class Tab:
    """A tab and its records, as addresses and sentences."""

    page: Page
    outgoing: list[str] = field(default_factory=list)
    """Requests to other machines; all of them were blocked."""
    failed: list[str] = field(default_factory=list)
    """Requests to this machine that failed."""
    errors: list[str] = field(default_factory=list)
    """Errors in the console, and uncaught exceptions."""

    def check(self) -> None:
        """Check that there was no request to other machines and no error."""
        wrong = [*self.outgoing, *self.failed, *self.errors]
        assert not wrong, "\n".join(wrong)


@contextmanager
def new_tab(browser: Browser, **options: Any) -> Iterator[Tab]:
    """Open a tab that reaches only files and this machine. options: of a Playwright context."""
    with browser.new_context(service_workers="block", **options) as context:
        tab = Tab(context.new_page())

        def let_through(route: Route) -> None:
            if HERE.match(route.request.url):
                route.continue_()
            else:
                tab.outgoing.append(route.request.url)
                route.abort()

        def failed(address: str, why: str | int | None) -> None:
            if HERE.match(address):
                tab.failed.append(f"{address}: {why}")

        context.route("**/*", let_through)
        tab.page.on(  # a route does not see these
            "websocket", lambda ws: None if HERE.match(ws.url) else tab.outgoing.append(ws.url)
        )
        tab.page.on("requestfailed", lambda request: failed(request.url, request.failure))
        tab.page.on("response", lambda r: failed(r.url, r.status) if r.status >= 400 else None)
        tab.page.on("console", lambda m: tab.errors.append(m.text) if m.type == "error" else None)
        tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
        yield tab


def findings(page: Page, *rules: str) -> list[str]:
    """Return the serious and critical findings of axe-core, one line per element.

    Elements that are not displayed at present are not looked at.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = list(rules)
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{one['impact']} {one['id']}: {node['html'][:120]} ({node['failureSummary']})"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
