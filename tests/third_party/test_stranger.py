"""A stranger's file is enough: its parts are used in Python, on a command line and in notebooks.

`stranger.py` stands outside the package. It adds a block, a space, a suite, a reward, a cost model,
a prioritization and a callback.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import mpnas_kit as mk
from mpnas_kit import parts
from mpnas_kit.parts import Missing, approve, approved
from mpnas_kit.search.rewards import REWARD

pytestmark = pytest.mark.xdist_group("stranger")  # one run for all tests

FILE = Path(__file__).parent / "stranger.py"
SMALL = {"steps": 4, "batch_size": 4, "threads": 1}
PARTS = {
    "cost": f"{FILE}:Pixels",
    "reward": f"{FILE}:Careful(price=0.2)",
    "prioritization": f"{FILE}:HardFirst",
}


def mpnas(folder: Path, *arguments: str, status: int = 0) -> str:
    """Run the command in a process that has imported nothing yet; return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "mpnas_kit", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def options(values: dict[str, Any]) -> Sequence[str]:
    return [word for k, v in values.items() for word in (f"--{k.replace('_', '-')}", str(v))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the stranger's parts alone, made on a command line."""
    folder = tmp_path_factory.mktemp("stranger") / "run"
    given = {
        "data": f"{FILE}:suite",
        "space": f"{FILE}:space(width=12)",
        "callbacks": f"{FILE}:log",
    }
    mpnas(folder.parent, "search", "--run", "run", *options({**given, **PARTS, **SMALL}))
    train = {"prioritization": PARTS["prioritization"], "callbacks": given["callbacks"], **SMALL}
    mpnas(folder.parent, "train", "--run", "run", "--trust", *options(train))
    return folder


def test_the_command_line_uses_every_part(run: Path) -> None:
    config = json.loads((run / "search" / "config.json").read_text())["config"]
    assert {name: config[name] for name in PARTS} == {
        **PARTS,
        "reward": f"{FILE}:Careful(price=0.2)",
    }
    lines = (run.parent / "steps.log").read_text().split("\n")[:-1]
    assert lines == [f"{stage} {i}" for stage in ("search", "train") for i in range(1, 5)]
    found = mk.SearchResult.load(run / "search", trust=True)
    assert found.cost_unit == "pixels" and set(found.costs.values()) <= {256.0, 320.0}
    assert all(p.arch in ("zero", "g2", "g4") for p in found.paths.values())


def test_python_takes_objects_where_the_command_line_takes_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FILE.parent))
    monkeypatch.chdir(tmp_path)
    import stranger

    run = mk.Run(tmp_path / "run", domains=stranger.suite, space=stranger.space())
    parts = {"reward": stranger.Careful(), "cost": stranger.Pixels()}
    found = run.search(**parts, callbacks=[stranger.log], **SMALL)
    trained = run.train(prioritization=stranger.HardFirst(), **SMALL)
    assert found.config.reward == stranger.Careful() and set(found.paths) == {"a", "b"}
    assert (
        trained.history["weight"].groupby(trained.history["step"]).mean().between(0.99, 1.01).all()
    )
    assert mk.Run.read(run.folder).search_result().paths == found.paths


def test_a_folder_from_elsewhere_imports_nothing(run: Path) -> None:
    """The run names the stranger's file everywhere; a process that has not imported it reads it."""
    assert "Top-1 accuracy" in mpnas(run.parent, "train", "--run", "run")  # it is finished
    code = (
        "import sys, mpnas_kit as mk\n"
        "run = mk.Run.read('run')\n"
        "found, trained = run.search_result(), run.train_result()\n"
        "print(found.paths['a'], found.costs['a'], trained.accuracy('test')['a'])\n"
        "print(found.config.cost, mk.analysis.jaccard_matrix)\n"
        "assert 'stranger' not in sys.modules\n"
        "for use in (lambda: run.suite, lambda: found.config.cost.price(None),\n"
        "            lambda: found.space.cost(found.space.parse('g2'))):\n"
        "    try:\n"
        "        use()\n"
        "    except mk.Unavailable as error:\n"
        "        print('unavailable:', error)\n"
        "assert 'stranger' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=run.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("unavailable:") == 3 and done.stdout.count("--trust") == 3
    assert str(mk.load(run, trust=True).result.accuracy("test")["a"]) in done.stdout


def test_another_process_imports_what_this_one_approved_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("approved", "planted"):
        (tmp_path / f"{name}_part.py").write_text("def reward(quality, cost, target): ...\n")
    texts = [f"{tmp_path}/{name}_part.py:reward" for name in ("approved", "planted")]
    assert callable(REWARD.parse(texts[0])) and isinstance(REWARD.read(texts[1], False), Missing)
    sent = [origin for origin in approved() if origin.startswith(str(tmp_path))]
    assert sent == [f"{tmp_path}/approved_part.py"]
    del sys.modules["approved_part"]  # as in a new process
    monkeypatch.setattr(parts, "_APPROVED", {})
    assert isinstance(REWARD.read(texts[0], False), Missing)
    approve(sent)
    assert callable(REWARD.read(texts[0], False)) and "planted_part" not in sys.modules


@pytest.mark.parametrize(
    "text",
    [
        "subprocess:Popen(args=['touch', 'ran'])",
        "os:system(command='touch ran')",
        "builtins:exec",
        "importlib:import_module(name='planted_part')",
        "mpnas_kit.files:as_path(given='ran')",
        "{own}:os.system(command='touch ran')",
        "{own}:system(command='touch ran')",
    ],
)
def test_no_text_of_a_folder_calls_what_happens_to_be_imported(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imports_os.py").write_text("import os\nfrom os import system\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    own = importlib.import_module("imports_os")
    try:
        found = REWARD.read(text.format(own=own.__file__), False)
    finally:
        del sys.modules["imports_os"]
    assert isinstance(found, Missing)
    assert [file.name for file in tmp_path.iterdir() if file.suffix != ".py"] in (
        [],
        ["__pycache__"],
    )


@pytest.mark.parametrize("name", ["suite", "space"])
def test_a_run_of_release_0_1_names_no_module(name: str, tmp_path: Path) -> None:
    (tmp_path / "planted_part.py").write_text("def make(): ...\n")
    content = {"profile": "quick", "suite": "pocket", "domains": ["digits"], "space": "pocket"}
    text = f"{tmp_path}/planted_part.py:make"
    (tmp_path / "run.json").write_text(json.dumps({**content, name: text}))
    with pytest.raises(mk.MpnasError, match=f"run.json cannot be read: {name}: release 0.1 had"):
        mk.Run.read(tmp_path)
    assert "planted_part" not in sys.modules


def test_a_resume_finds_the_parts_again_or_says_what_is_missing(tmp_path: Path) -> None:
    given = options({"data": f"{FILE}:suite", "space": f"{FILE}:space", **PARTS, **SMALL})
    code = (
        "import mpnas_kit as mk, sys\n"
        "from mpnas_kit.cli.commands import main\n"
        "from mpnas_kit.engine import loop\n"
        "step = loop.Stage._one_step\n"
        "def stop(self):\n"
        "    if self.step == 2: raise SystemExit(9)\n"
        "    return step(self)\n"
        "loop.Stage._one_step = stop\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ["search", "--run", "run", *given, "--checkpoint-every", "1"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path)
    assert done.returncode == 9
    said = mpnas(tmp_path, "search", "--run", "run", status=2)
    assert "stranger.py" in said and "--trust" in said
    assert "The verdict" in mpnas(tmp_path, "search", "--run", "run", "--trust")


def test_sweep_report_and_explorers_take_the_run(run: Path) -> None:
    cells = [
        "--approaches",
        "mpnas, random_paths",
        "--prioritizations",
        f"uniform > {FILE}:HardFirst",
    ]
    steps = ["--search", "steps", "2", "--train", "steps", "2"]
    given = ["--run", "run", "--data", f"{FILE}:suite"]  # the other parts are in the same file
    said = mpnas(run.parent, "sweep", *given, *cells, *steps, "--jobs", "2")
    assert "random_paths" in said and "HardFirst" in said
    said = mpnas(run.parent, "compare", "--run", "run")  # reads, and imports nothing
    assert "random_paths" in said and "HardFirst" in said
    said = mpnas(run.parent, "report", "--run", "run", "--trust", "paths")
    assert "the report: reports/index.html" in said
    page = (run.parent / "reports" / "02_paths.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "cut short" not in (run.parent / "reports" / "index.html").read_text(encoding="utf-8")
    opened = mk.Run.read(run, trust=True)
    explorer = mk.widgets.PathExplorer.of(opened.search_result())
    assert explorer.graph["domains"] == ["a", "b"]
    assert mk.widgets.DomainBrowser(opened.suite, opened.train_result()).selected


def test_a_report_without_trust_shows_what_it_can_and_says_what_it_cannot(run: Path) -> None:
    said = mpnas(run.parent, "report", "--run", "run", "--out", "plain", "domains")
    assert "suite of domains" in said and "--trust" in said
    domains = (run.parent / "plain" / "00_domains.html").read_text(encoding="utf-8")
    assert "This page ends here" in domains and "stranger.py" in domains


def test_papermill_takes_parts_as_parameters(tmp_path: Path) -> None:
    import papermill

    from mpnas_kit.notebook.files import find_notebook

    given = {"run": str(tmp_path / "run"), "data": f"{FILE}:suite", "space": f"{FILE}:space"}
    log = {"callbacks": f"{FILE}:log"}
    papermill.execute_notebook(
        find_notebook("search"),
        tmp_path / "out.ipynb",
        parameters={**given, **PARTS, **SMALL, **log},
        progress_bar=False,
        cwd=tmp_path,
    )
    assert (tmp_path / "steps.log").read_text().startswith("search 1\n")
    config = json.loads((tmp_path / "run" / "search" / "config.json").read_text())["config"]
    assert {name: config[name] for name in PARTS} == PARTS
