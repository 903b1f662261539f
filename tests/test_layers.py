"""The house: rooms import in one direction, the core knows no display, a name means one thing."""

import ast
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import mpnas_kit as mk

PACKAGE = Path(mk.__file__).parent
ROOMS = (  # each may import itself and those before it
    "errors",
    "files",
    "values",
    "parts",
    "settings",
    "kernels",
    "domains",
    "space",
    "network",
    "starts",
    "prioritization",
    "engine",
    "search",
    "training",
    "approaches",
    "analysis",
    "runs",
    "deploy",
    "plots",
    "tracking",
    "notebook",
    "widgets",
    "report",
    "cli",
)
CORE = ROOMS[: ROOMS.index("deploy") + 1]
DISPLAY = {"matplotlib", "seaborn", "ipywidgets", "anywidget", "IPython", "papermill", "nbconvert"}
HANDED_OVER = {("runs", "report")}  # Run.report starts the report when it is called
FILES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    """The dotted names of all modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            module = str(node.module)
            yield from (
                (f"{module}.{a.name}" for a in node.names) if module == "mpnas_kit" else [module]
            )


def test_there_are_these_rooms_and_nothing_loose() -> None:
    inside = {p.stem if p.suffix == ".py" else p.name for p in PACKAGE.iterdir()}
    assert inside - {"__pycache__"} == {*ROOMS, "__init__", "__main__", "__init__.pyi", "py.typed"}


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_before_it(file: Path) -> None:
    own = room(file)
    if own in ("__init__", "__main__"):
        return
    for name in imports(file):
        if name.startswith("mpnas_kit."):
            other = name.split(".")[1]
            if other == "__version__":
                continue
            assert other in ROOMS, f"{file}: {name}"
            allowed = ROOMS.index(other) <= ROOMS.index(own) or (own, other) in HANDED_OVER
            assert allowed, f"{own} imports the later room {other}"
        elif own in CORE:
            assert name.split(".")[0] not in DISPLAY, f"{own} imports {name}"


def test_every_import_is_a_declared_dependency() -> None:
    lines = PROJECT["project"]["dependencies"]
    declared = {re.split(r"[<>=;\[ ]", line)[0].lower().replace("-", "_") for line in lines}
    names = {"PIL": "pillow", "nbclient": "papermill", "traitlets": "ipywidgets"}
    names |= {"IPython": "ipykernel", "jupyter_client": "ipykernel"}
    names |= {"jupyter_core": "jupyterlab"}
    standard = set(importlib.import_module("sys").stdlib_module_names)
    for file in FILES:
        for name in (n.split(".")[0] for n in imports(file)):
            if name not in standard | {"mpnas_kit"}:
                assert names.get(name, name).lower() in declared, f"{file}: {name}"


def test_no_function_or_class_has_the_name_of_a_module() -> None:
    """But `mk.search`, which is the function: the room of that name is only imported from."""
    modules = {p.stem for p in FILES} | {p.name for p in PACKAGE.iterdir() if p.is_dir()}
    for file in FILES:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.name not in modules - {"search"}, f"{file}: {node.name}"


def test_path_means_a_path_through_a_space() -> None:
    for file in FILES:
        assert "from pathlib import" not in file.read_text(encoding="utf-8"), file


# Public names -------------------------------------------------------------------------------------


def test_public_names_are_listed_and_can_be_imported() -> None:
    assert dir(mk) == mk.__all__ == sorted(set(mk.__all__))
    for name in mk.__all__:
        assert getattr(mk, name) is not None
    wanted = (
        "Domain DomainSuite pocket InvertedBottleneck pocket_space SearchConfig TrainConfig search"
    )
    wanted += " train Run load ABDP FAMO Absolute MnasHard MultiplyAdds UnionShare plots widgets"
    assert set(wanted.split()) <= set(mk.__all__)


def test_search_is_the_function_whatever_was_imported_before() -> None:
    from mpnas_kit.search.config import SearchConfig

    assert inspect.isfunction(mk.search) and mk.SearchConfig is SearchConfig


@pytest.mark.parametrize("module", [mk, mk.plots, mk.widgets, mk.analysis, mk.notebook])
def test_public_names_are_documented(module: object) -> None:
    for name in module.__all__:  # type: ignore[attr-defined]
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            words = inspect.getdoc(thing) or ""
            assert len(words) > 20, name
            if inspect.isfunction(thing):
                plain = [p for p in inspect.signature(thing).parameters if p not in ("self", "ax")]
                missing = [p for p in plain if p not in words]
                assert not missing, f"{name} says nothing of {', '.join(missing)}"


def test_importing_the_package_loads_neither_torch_nor_a_display() -> None:
    import subprocess
    import sys

    code = (
        "import sys, os, mpnas_kit\n"
        "loaded = {'torch', 'numpy', 'pandas', 'matplotlib', 'ipywidgets'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
        "assert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
