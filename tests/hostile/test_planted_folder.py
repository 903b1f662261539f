"""A run folder from a stranger: nothing in it is imported or executed, or leads elsewhere."""

import io
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile import tree
from PIL import Image

import mpnas_kit as mk
from mpnas_kit.cli.commands import main

Watch = Callable[[], list[str]]


class Bomb:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.mark}",))


@pytest.fixture(scope="module")
def seen() -> list[tuple[str, Any]]:
    """Events of the interpreter while `watch` is on: it can add a hook, but never remove one."""
    events: list[tuple[str, Any]] = []

    def hook(name: str, arguments: Any) -> None:
        if on[0] and name in WATCHED:
            events.append((name, arguments))

    sys.addaudithook(hook)
    return events


on = [False]
WATCHED = {
    "open",
    "import",
    "exec",
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "os.system",
    "pickle.find_class",
    "os.listdir",
    "os.scandir",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.symlink",
}
NETWORK = {"socket.connect", "socket.getaddrinfo"}


@pytest.fixture
def watch(seen: list[tuple[str, Any]]) -> Iterator[list[tuple[str, Any]]]:
    seen.clear()
    yield seen
    on[0] = False


PLANTS: dict[str, Callable[[Path], Any]] = {
    "a module": lambda place: "planted_module:thing",
    "a file": lambda place: f"{place}/planted_module.py:thing()",
    "a module of Python": lambda place: f"os:system(command='touch {place}/mark')",
    "a path above": lambda place: "../../../../../../etc/passwd",
    "a path": lambda place: f"{place}/secret.json",
    "a folder of images": lambda place: f"folders(path='{place}/secret_images', resolution=8)",
    "a table of images": lambda place: f"table(path='{place}/secret.csv', resolution=8)",
    "a suite file": lambda place: f"suite_file(path='{place}/secret.toml')",
    "a data set": lambda place: f"hub(path='{place}/secret_images', resolution=8)",
    "the Decathlon": lambda place: f"decathlon(path='{place}', resolution=8)",
    "a URL": lambda place: "http://planted.invalid/run.json",
    "a URL of a file": lambda place: f"file://{place}/secret.json",
    "a template": lambda place: "{{ 7 * 7 }} ${HOME} %(x)s $(touch mark) `touch mark`",
    "HTML": lambda place: "<script>alert(1)</script><img src='http://planted.invalid/x.png'>",
}
JSON_FILES = [
    "run.json",
    "search/config.json",
    "search/results.json",
    "search/environment.json",
    "search/paths.json",
    "train/config.json",
    "train/results.json",
    "train/timing.json",
    "train/paths.json",
]


def texts(content: Any) -> Iterator[tuple[Any, Any]]:
    """The holders and keys of all texts in JSON content, and of all that is None."""
    inside = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(inside):
        if isinstance(value, str) or value is None:
            yield content, key
        elif isinstance(value, dict | list):
            yield from texts(value)


def refuses_everything_outside(run: Path, place: Path, watch: list[tuple[str, Any]]) -> None:
    """Use the run in every way that only reads, then see what was touched."""
    before, outside = tree(run), tree(place)
    on[0] = True
    for command in (["compare"], ["check"], ["search"], ["train"]):
        main([*command, "--run", str(run)])
    for read in (mk.Run.read, mk.load, mk.SearchResult.load, mk.TrainResult.load):
        for folder in (run, run / "search", run / "train"):
            try:
                found: Any = read(folder)
                _ = getattr(found, "net", None), getattr(found, "suite", None)
                _ = isinstance(found, mk.Model) and found.network(found.domains[0])
            except mk.MpnasError as error:
                assert "\n" not in str(error)
    on[0] = False
    assert tree(run) == before and tree(place) == outside
    assert "planted_module" not in sys.modules and not (place / "mark").exists()
    for name, arguments in watch:
        assert name not in NETWORK, arguments
        assert not any("planted_module" in str(a) for a in arguments), arguments
        assert not any("secret" in str(a) or "/etc/passwd" in str(a) for a in arguments), arguments


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what must not be touched. It is the working folder and on Python's path."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    (place / "planted_module.py").write_text("open('mark', 'w').close()\nthing = lambda: 3\n")
    (place / "secret.json").write_text('{"a": "k3e1 k3e1"}')
    for i, label in enumerate(("cat", "dog")):
        (place / "secret_images" / label).mkdir(parents=True)
        for j in range(3):
            colour = (120 * i, 120 * j, 0)
            Image.new("RGB", (8, 8), colour).save(place / "secret_images" / label / f"{j}.png")
    (place / "secret.csv").write_text("path,label\nsecret_images/cat/0.png,cat\n")
    (place / "secret.toml").write_text("[a]\nfolder = 'secret_images'\n")
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    return place


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("name", JSON_FILES)
def test_texts_in_every_file_lead_nowhere(
    name: str,
    plant: str,
    place: Path,
    finished: Path,
    tmp_path: Path,
    copy: Callable[[Path], Path],
    watch: list[tuple[str, Any]],
) -> None:
    run = copy(finished)
    content = json.loads((run / name).read_text(encoding="utf-8"))
    for holder, key in texts(content):
        if key not in ("stage", "split", "norm", "profile"):  # fixed words: refused at once
            holder[key] = PLANTS[plant](place)
    (run / name).write_text(json.dumps(content), encoding="utf-8")
    refuses_everything_outside(run, place, watch)


@pytest.mark.parametrize("field", ["data", "approach", "search_from", "matched_to", "space.source"])
@pytest.mark.parametrize("plant", PLANTS)
def test_a_single_text_of_run_json_leads_nowhere(
    plant: str,
    field: str,
    place: Path,
    finished: Path,
    copy: Callable[[Path], Path],
    watch: list[tuple[str, Any]],
) -> None:
    run = copy(finished)
    content = json.loads((run / "run.json").read_text(encoding="utf-8"))
    holder = content["space"] if field == "space.source" else content
    holder[field.rpartition(".")[2]] = PLANTS[plant](place)
    (run / "run.json").write_text(json.dumps(content), encoding="utf-8")
    refuses_everything_outside(run, place, watch)


def test_a_run_of_the_first_release_leads_nowhere(
    place: Path, finished: Path, copy: Callable[[Path], Path], watch: list[tuple[str, Any]]
) -> None:
    """Its run.json had no format, and named a suite of the kit."""
    run = copy(finished)
    suite = f"folders(path='{place}/secret_images', resolution=8)"
    about = {"profile": "quick", "suite": suite, "domains": ["secret_images"], "space": "pocket"}
    (run / "run.json").write_text(json.dumps(about), encoding="utf-8")
    refuses_everything_outside(run, place, watch)


def test_the_planted_images_could_be_read(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    assert len(mk.folders(place / "secret_images", resolution=8)) == 1


def pickled(bomb: Bomb) -> bytes:
    return pickle.dumps(bomb)


def checkpoint(bomb: Bomb) -> bytes:
    buffer = io.BytesIO()
    torch.save({"state": bomb, "step": 1}, buffer)
    return buffer.getvalue()


def array(bomb: Bomb) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([bomb], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def header(bomb: Bomb) -> bytes:
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').mkdir('mark'),)}"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


BINARY = [
    "search/policy.npy",
    "search/supernet.safetensors",
    "train/model.safetensors",
    "search/checkpoint.pt",
    "train/checkpoint.pt",
    *JSON_FILES,
    "search/metrics.jsonl",
]


@pytest.mark.parametrize("make", [pickled, checkpoint, array, header])
@pytest.mark.parametrize(
    ("name", "whole"),
    [*((n, True) for n in BINARY), *((f"{s}/checkpoint.pt", False) for s in ("search", "train"))],
)
def test_a_pickle_in_any_file_is_never_loaded(
    name: str,
    whole: bool,
    make: Callable[[Bomb], bytes],
    place: Path,
    finished: Path,
    copy: Callable[[Path], Path],
    watch: list[tuple[str, Any]],
) -> None:
    run = copy(finished)
    if not whole:
        (run / "search" / "results.json").unlink()
        (run / "train" / "results.json").unlink()
    (run / name).write_bytes(make(Bomb(place / "mark")))
    if whole:
        refuses_everything_outside(run, place, watch)
    else:
        for command in ("search", "train", "check"):
            main([command, "--run", str(run)])
        assert not (place / "mark").exists() and not (run / "mark").exists()


def test_the_bombs_would_work(tmp_path: Path) -> None:
    bomb = Bomb(tmp_path / "mark")
    pickle.loads(pickled(bomb))
    assert bomb.mark.exists()
    bomb.mark.unlink()
    torch.load(io.BytesIO(checkpoint(bomb)), weights_only=False)
    assert bomb.mark.exists()


@pytest.mark.parametrize(
    "name",
    [
        "run.json",
        "search/metrics.jsonl",
        "search/checkpoint.pt",
        "search/paths.json",
        "search/results.json",
    ],
)
def test_nothing_is_written_through_a_planted_link(
    name: str, place: Path, stopped: Path, copy: Callable[[Path], Path]
) -> None:
    """The names of unfinished files are random and opened exclusively, so links cannot wait."""
    run = copy(stopped)
    target = place / "secret.json"
    content = target.read_bytes()
    if (run / name).exists():
        target.write_bytes((run / name).read_bytes())
        content = target.read_bytes()
        (run / name).unlink()
    (run / name).symlink_to(target)
    for old in ("run.json.tmp", "search/config.json.tmp", "search/checkpoint.pt.tmp"):
        (run / old).symlink_to(target)
    main(["search", "--run", str(run)])
    assert target.read_bytes() == content
