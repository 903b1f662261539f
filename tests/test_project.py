"""The project around the code: lint, types, the environment, notebooks, README and Makefile."""

import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import papermill
import pytest
import yaml

import mpnas_kit as mk
from mpnas_kit.space.counting import count_module

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_the_code_is_clean(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_environment_and_project_ask_for_the_same() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"]
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"], "conda brings Python and pip alone"
    options = ["--constraint constraints.txt", "--editable ."]
    assert [line for line in pip["pip"] if line.startswith("-")] == options
    asked = [line for line in pip["pip"] if not line.startswith("-")]
    assert asked == PROJECT["project"]["dependencies"]


def test_every_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.split("==")[0].lower() for line in lines if line and not line.startswith("#")}
    assert all("==" in line for line in lines if line and not line.startswith("#"))
    project = PROJECT["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    for line in [*project["dependencies"], *extras]:
        assert re.split(r"[<>=;\[ ]", line)[0].lower() in pins, line


def test_the_command_is_installed() -> None:
    assert PROJECT["project"]["scripts"] == {"mpnas": "mpnas_kit.__main__:start"}


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_short_clean_and_has_parameters(file: Path) -> None:
    notebook = json.loads(file.read_text(encoding="utf-8"))
    cells = notebook["cells"]
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert cells[0]["cell_type"] == "markdown"
    assert "".join(cells[0]["source"]).startswith("# ")
    head = "".join(line for cell in cells[:2] for line in cell["source"])
    assert "**Costs**" in head and "**Should show**" in head
    parameters, check = [cell for cell in cells if cell["cell_type"] == "code"][:2]
    assert "parameters" in parameters["metadata"]["tags"]
    assert "".join(parameters["source"]).startswith("# Parameters")
    assert "check_parameters(globals()" in "".join(check["source"])
    for cell in cells:
        lines = len(cell["source"])
        assert cell is parameters or lines < 25, "an algorithm belongs into the library"
        if cell["cell_type"] == "code":
            assert not cell["outputs"] and cell["execution_count"] is None
        assert "papermill" not in cell["metadata"]
    assert not {"papermill", "widgets"} & set(notebook["metadata"])
    typed = re.findall(r"^(\w+): ", "".join(parameters["source"]), re.MULTILINE)
    assert set(papermill.inspect_notebook(file)) == set(typed), "papermill sees all parameters"


def test_what_readme_tells_to_make_can_be_made() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    told = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"report", "test"} <= told <= targets


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_commands_in_documents_have_options_that_exist(file: Path) -> None:
    from mpnas_kit.cli import (
        cache_command,
        data_command,
        model_parsers,
        parsers,
        submission_command,
        watch_commands,
    )
    from mpnas_kit.cli.grow_command import grow_parser
    from mpnas_kit.cli.profile_command import profile_parser
    from mpnas_kit.cli.tables_command import tables_parser
    from mpnas_kit.cli.transfer_command import transfer_parser

    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"^(?:\S*/)?mpnas (.+)$", text, re.MULTILINE):
        command, *words = re.sub(r'"[^"]*"', "text", line.split("#")[0]).split()
        other = {
            "data": data_command.data_parser,
            "report": parsers.report_parser,
            "sweep": parsers.sweep_parser,
            "compare": parsers.compare_parser,
            "tables": tables_parser,
            "explore": parsers.explore_parser,
            "check": parsers.check_parser,
            "predict": model_parsers.predict_parser,
            "evaluate": model_parsers.evaluate_parser,
            "export": model_parsers.export_parser,
            "submit": submission_command.submit_parser,
            "profile": profile_parser,
            "grow": grow_parser,
            "transfer": transfer_parser,
            "watch": watch_commands.watch_parser,
            "stop": watch_commands.stop_parser,
            "cache": cache_command.cache_parser,
        }
        parser = other[command]() if command in other else parsers.stage_parser(command)
        known = {name for action in parser._actions for name in action.option_strings}
        assert {word for word in words if word.startswith("--")} <= known, line


def in_a_file(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, code: str) -> None:
    """Run code as a module of that name in `folder`."""
    (folder / f"{name}.py").write_text(code)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.import_module(name)
    plt.close("all")


def test_python_in_readme_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert re.findall(r"^(?:import|from) .*$", code, re.MULTILINE) == ["import mpnas_kit as mk"]
    code = re.sub(r"steps=\d+", "steps=2, batch_size=4, threads=1", code)
    code = re.sub(r"pocket\(\[.*?\]\)", 'pocket(["digits", "icons"])', code)
    in_a_file(monkeypatch, tmp_path, "readme", code)
    assert (tmp_path / "paths.svg").exists()
    run = mk.Run.read(tmp_path / "runs" / "mine")  # for `mpnas report` and `mpnas explore`
    assert run.suite.names == ("digits", "icons") and run.compare().cells.shape[0] == 1
    assert mk.notebook.explore_notebook(run).exists()


def test_python_in_extend_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 11
    in_a_file(monkeypatch, tmp_path, "my_parts", "\n\n".join(blocks))
    grouped = sys.modules["my_parts"].Grouped(2)
    assert grouped.cost(8, 16, 2, 9) == count_module(grouped, 8, 16, 2, 9)
    assert (tmp_path / "steps.log").read_text().startswith("search 1 of 8\n")
    commands = re.findall(r"^mpnas (.*)$", text, re.MULTILINE)
    assert len(commands) == 3
    from mpnas_kit.cli.commands import main

    small = ["--steps", "4", "--batch-size", "4", "--reward-batch", "4"]
    for i, command in enumerate(commands[:2]):
        words = shlex.split(command.replace("runs/mine", f"runs/other{i}"))
        suite = [] if "--data" in words else ["--data", "my_parts.py:suite"]
        assert main([*words, *suite, *small]) == 0
    swept = mk.sweep_of(
        mk.Run("runs/new", data="my_parts.py:suite", space="my_parts.py:space"),
        approaches="mpnas, my_parts.py:Cheapest",
        prioritizations="abdp, my_parts.py:HardFirst",
        seeds="0",
    )
    assert len(swept.cells) == 4


def test_documents_and_notebooks_use_public_names_only() -> None:
    public = {"mpnas_kit", "mpnas_kit.notebook", "mpnas_kit.cli.commands"}
    for file in [*DOCUMENTS, *NOTEBOOKS]:
        text = file.read_text(encoding="utf-8")
        for module in re.findall(r"(?:from|import) (mpnas_kit[\w.]*)", text):
            assert module in public, f"{file.name}: {module}"
        for name in re.findall(r"\bmk\.(\w+)", text):
            assert name in mk.__all__, f"{file.name}: mk.{name}"


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_ci_runs_the_tests_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-1] == "make test"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_no_file_names_a_machine_or_a_registry() -> None:
    done = subprocess.run(
        ["git", "grep", "-nIE", "|".join(_WORDS), "--", ".", ":!LICENSE"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode > 1:
        pytest.skip("needs a git checkout")
    assert done.stdout == ""


# Cut in two, so that this file does not name them either.
_WORDS = [
    a + b
    for a, b in (
        ("/wor", "k/"),
        ("/ho", "me/"),
        ("/roo", "t/"),
        ("/op", "t/"),
        ("/tmp/", "[a-z]"),
        ("pypi", "\\.org"),
        ("python", "hosted"),
        ("download\\.", "pytorch"),
        ("anaconda", "\\.(org|com)"),
    )
]
