"""Whatever a file or an option holds: one sentence or a result, and nothing is lost."""

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import tree
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mpnas_kit import files
from mpnas_kit.approaches.methods import APPROACH
from mpnas_kit.cli.commands import main
from mpnas_kit.cli.parsers import CONFIGS
from mpnas_kit.domains.suites import SUITE
from mpnas_kit.engine.records import (
    Environment,
    Results,
    SearchResults,
    StageConfigFile,
    Timing,
    TrainResults,
)
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.errors import MpnasError
from mpnas_kit.prioritization.methods import PRIORITIZATION
from mpnas_kit.runs.description import RunDescription
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.rewards import REWARD
from mpnas_kit.settings import from_dict, options
from mpnas_kit.space.costs import COST
from mpnas_kit.space.texts import BLOCK, SPACE

quickly = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
contents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@contextmanager
def a_copy(run: Path) -> Iterator[Path]:
    """A copy of a run that is deleted afterwards."""
    with tempfile.TemporaryDirectory() as place:
        yield Path(shutil.copytree(run, Path(place) / run.name))


def one_sentence(action: Callable[[], Any]) -> bool:
    """Do something that may only raise `MpnasError`, of one line. Return whether it did."""
    try:
        action()
    except MpnasError as error:
        assert str(error).isprintable() and str(error), repr(str(error))
        return True
    return False


def places(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places inside JSON content."""
    yield at
    if isinstance(content, dict | list):
        inside = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in inside:
            yield from places(value, (*at, key))


def put(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The content with another value at a place."""
    if not place:
        return value
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return content


JSON_FILES = [
    "run.json",
    "search/config.json",
    "search/results.json",
    "train/config.json",
    "train/results.json",
]


@pytest.mark.parametrize("name", JSON_FILES)
@given(data=st.data())
@quickly
def test_any_json_anywhere_in_a_file_of_a_run(name: str, finished: Path, data: Any) -> None:
    content = json.loads((finished / name).read_text(encoding="utf-8"))
    place = data.draw(st.sampled_from(list(places(content))))
    changed = put(content, place, data.draw(contents))
    with a_copy(finished) as run:
        (run / name).write_bytes(json.dumps(changed).encode("utf-8", "surrogatepass"))
        before = tree(run)
        for command in (["search"], ["compare"], ["check"]):
            assert main([*command, "--run", str(run)]) in (0, 2)
        assert tree(run) == before


@given(raw=st.binary(max_size=60), name=st.sampled_from(JSON_FILES))
@quickly
def test_any_bytes_as_a_json_file_of_a_run(raw: bytes, name: str, finished: Path) -> None:
    with a_copy(finished) as run:
        (run / name).write_bytes(raw)
        assert main(["check", str(run)]) == 2


FORMS: dict[str, Any] = {
    "search/config.json": StageConfigFile,
    "search/results.json": SearchResults,
    "train/results.json": TrainResults,
    "search/timing.json": Timing,
    "search/environment.json": Environment,
}


@pytest.mark.parametrize("name", FORMS)
def test_a_json_file_that_is_cut_at_any_byte_is_refused(name: str, finished: Path) -> None:
    content = (finished / name).read_bytes()
    assert isinstance(files.parse_json(content, FORMS[name], name), FORMS[name])
    for size in range(len(content) - 1):  # the last byte is the end of the line
        assert one_sentence(lambda: files.parse_json(content[:size], FORMS[name], name)), size  # noqa: B023


def test_run_json_that_is_cut_at_any_byte_is_refused(finished: Path, tmp_path: Path) -> None:
    content = (finished / "run.json").read_bytes()
    for size in range(len(content) - 1):
        (tmp_path / "run.json").write_bytes(content[:size])
        assert one_sentence(lambda: RunDescription.read(tmp_path)), size


BOUND = [
    "search/policy.npy",
    "search/paths.json",
    "search/metrics.jsonl",
    "train/metrics.jsonl",
    "train/paths.json",
]


@pytest.mark.parametrize("name", BOUND)
def test_a_file_of_the_results_that_is_cut_at_any_byte_is_refused(
    name: str, finished: Path
) -> None:
    with a_copy(finished) as run:
        stage, _, file = name.partition("/")
        content = (run / name).read_bytes()
        for size in range(len(content)):
            (run / name).write_bytes(content[:size])
            assert one_sentence(lambda: StageFolder(run / stage).read_bytes(file)), size


@given(share=st.floats(0, 1, exclude_max=True))
@quickly
def test_a_checkpoint_that_is_cut_anywhere_is_refused_and_nothing_is_lost(
    share: float, stopped: Path
) -> None:
    with a_copy(stopped) as run:
        file = run / "search" / "checkpoint.pt"
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
        before = tree(run)
        assert main(["search", "--run", str(run)]) == 2
        assert tree(run) == before


@given(data=st.data())
@quickly
def test_a_checkpoint_with_other_bytes_is_refused_or_ends_the_search(
    data: Any, stopped: Path
) -> None:
    with a_copy(stopped) as run:
        file = run / "search" / "checkpoint.pt"
        content = bytearray(file.read_bytes())
        for _ in range(3):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        file.write_bytes(content)
        before = tree(run)
        status = main(["search", "--run", str(run)])
        assert status == 0 or (status == 2 and tree(run) == before)


@given(
    policy=arrays.arrays(
        dtype=arrays.scalar_dtypes(), shape=arrays.array_shapes(min_dims=0, max_dims=4, max_side=4)
    )
)
@quickly
def test_any_array_as_the_policy(policy: Any, finished: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, policy, allow_pickle=False)
    with a_copy(finished) as run:
        place = run / "search"
        (place / "policy.npy").write_bytes(buffer.getvalue())
        results = json.loads((place / "results.json").read_text(encoding="utf-8"))
        results["files"]["policy.npy"] = hashlib.sha256(buffer.getvalue()).hexdigest()
        (place / "results.json").write_text(json.dumps(results), encoding="utf-8")
        assert StageFolder(place).read_json("results.json", Results).files
        assert one_sentence(lambda: SearchResult.load(place, trust=True))


KINDS = [APPROACH, SUITE, PRIORITIZATION, REWARD, COST, BLOCK, SPACE]
words = st.sampled_from(
    [
        "(",
        ")",
        ",",
        "=",
        ":",
        "abdp",
        "absolute",
        "mpnas",
        "beta",
        "start",
        "1",
        "-0.1",
        "nan",
        "inf",
        "None",
        "'",
        "[",
        "{",
        "**",
        "lambda",
        "\0",
        "\n",
        "½",
        " ",
    ]
)
texts = st.text(max_size=30) | st.lists(words, max_size=12).map("".join)


@given(text=texts, kind=st.sampled_from(KINDS))
@settings(quickly, max_examples=300)
def test_any_text_for_a_part(text: str, kind: Any) -> None:
    assume(":" not in text)  # names a module, which would be imported
    one_sentence(lambda: kind.parse(text))


@given(data=st.data(), value=texts | scalars | contents)
@settings(quickly, max_examples=300)
def test_any_value_for_a_field_of_a_config(data: Any, value: Any) -> None:
    assume(not (isinstance(value, str) and ":" in value))
    config = CONFIGS[data.draw(st.sampled_from(sorted(CONFIGS)))]
    name = data.draw(st.sampled_from(sorted(options(config))))
    one_sentence(lambda: from_dict(config, {name: value}))
