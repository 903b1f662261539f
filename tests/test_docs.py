"""The documentation site: it builds without a warning, and its links lead somewhere."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

DOCS = Path(__file__).parents[1] / "docs"


class Page(HTMLParser):
    """The anchors of a built page, its links, and the addresses it loads scripts and styles from.

    A link is the value of `href` or `src`.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one tag."""
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        links = [given[name] for name in ("href", "src") if name in given]
        self.links += links
        if tag != "a":
            self.loads += links


def toctree() -> list[str]:
    """The pages named in the toctree of the first page."""
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL)
    return [line for line in block.splitlines() if line and not line.startswith(":")]


def test_pages_named_on_the_first_page_exist() -> None:
    names = toctree()
    assert names
    assert [name for name in names if not (DOCS / f"{name}.md").is_file()] == []


def test_the_site_builds_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(DOCS), str(site)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr

    pages = {file: Page(file) for file in sorted(site.rglob("*.html"))}
    assert {site / f"{name}.html" for name in ("index", *toctree())} <= set(pages)
    broken = []
    for file, page in pages.items():
        outside = [link for link in page.loads if urlsplit(link).netloc]
        assert not outside, f"{file.name} needs a network: {outside}"
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            anchor = unquote(parts.fragment)
            known = target not in pages or not anchor or anchor in pages[target].anchors
            if not target.exists() or not known:
                broken.append(f"{file.name}: {link}")
    assert not broken, broken
