"""Run folders with wrong content: every command says what is wrong and leaves the rest alone."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hostile import Refused

from mpnas_kit.cli.commands import main

DELETE = "<deleted>"
Copy = Callable[[Path], Path]


def edit(file: Path, place: str, value: Any) -> None:
    """Set a field of a JSON file, such as `domains.0.train`, or delete it."""
    content = json.loads(file.read_text(encoding="utf-8"))
    inner, *names = content, *place.split(".")
    for name in names[:-1]:
        inner = inner[int(name)] if isinstance(inner, list) else inner[name]
    last: Any = int(names[-1]) if isinstance(inner, list) else names[-1]
    if isinstance(value, str) and value == DELETE:
        del inner[last]
    else:
        inner[last] = value
    file.write_text(json.dumps(content), encoding="utf-8")


RAW = {
    "empty": b"",
    "text": b"hello",
    "number": b"3",
    "null": b"null",
    "list": b"[]",
    "open": b'{"a": ',
    "binary": bytes(range(256)),
    "zeros": b"\0" * 100,
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "latin-1": '{"a": "é"}'.encode("latin-1"),
    "twice": b'{"format": 2, "format": 2}',
    "nan": b'{"format": NaN}',
    "infinite": b'{"format": 1e999}',
    "digits": b'{"format": ' + b"9" * 5000 + b"}",
}
FILES = [
    ("run.json", ["compare"]),
    ("search/config.json", ["search"]),
    ("search/results.json", ["search"]),
    ("train/config.json", ["train"]),
    ("train/results.json", ["train"]),
    ("train/results.json", ["compare"]),
    ("train/paths.json", ["compare"]),
]


@pytest.mark.parametrize("raw", RAW)
@pytest.mark.parametrize(("name", "command"), FILES, ids=lambda v: "-".join([*v]) if v else "")
def test_a_json_file_of_other_content_is_named(
    name: str, command: list[str], raw: str, finished: Path, copy: Copy, refused: Refused
) -> None:
    run = copy(finished)
    (run / name).write_bytes(RAW[raw])
    refused([*command, "--run", str(run)], name)


RUN_FIELDS: list[tuple[str, Any]] = [
    ("format", "2"),
    ("format", 3),
    ("format", None),
    ("profile", "fast"),
    ("profile", 3),
    ("profile", DELETE),
    ("data", 3),
    ("data", ["pocket"]),
    ("domains", []),
    ("domains", {}),
    ("domains", "a, b"),
    ("domains", [3]),
    ("domains", [[]]),
    ("domains.0.name", None),
    ("domains.0.name", "b"),
    ("domains.0.classes", ["one"]),
    ("domains.0.classes", "abc"),
    ("domains.0.classes", [1, 2]),
    ("domains.0.channels", 2),
    ("domains.0.channels", True),
    ("domains.0.train", 0),
    ("domains.0.train", "36"),
    ("domains.0.train", 36.5),
    ("domains.0.val", -1),
    ("domains.0.test", DELETE),
    ("domains.0.surprise", 1),
    ("resolution", 0),
    ("resolution", "16"),
    ("resolution", 10**30),
    ("space", None),
    ("space", "pocket"),
    ("space.name", 3),
    ("space.resolution", "16"),
    ("space.layers", "none"),
    ("space.source", 3),
    ("approach", 3),
    ("approach", "mpnass"),
    ("approach", "mpnas("),
    ("approach", DELETE),
    ("search_from", 3),
    ("matched_to", []),
    ("search_from", "."),
    ("search_from", "nowhere"),
    ("images", 3),
    ("start", 3),
    ("start", "lite0"),
    ("start", {"text": "lite0"}),
    ("start", {"text": 3, "sha256": "0"}),
    ("start", {"text": None, "sha256": ""}),
    ("surprise", 1),
]


@pytest.mark.parametrize(("field", "value"), RUN_FIELDS, ids=str)
def test_a_wrong_field_of_run_json_is_refused(
    field: str, value: Any, finished: Path, copy: Copy, refused: Refused
) -> None:
    run = copy(finished)
    edit(run / "run.json", field, value)
    refused(["search", "--run", str(run)])


STAGE_FIELDS: list[tuple[str, Any]] = [
    ("format", 0),
    ("format", 9),
    ("format", "2"),
    ("stage", "train"),
    ("stage", "other"),
    ("stage", DELETE),
    ("suite", "tiny"),
    ("suite.domains", "ab"),
    ("data", 3),
    ("space", []),
    ("space.fingerprint", 3),
    ("config", []),
    ("config.steps", "many"),
    ("config.steps", 0),
    ("config.steps", 1e300),
    ("config.steps", [3]),
    ("config.learning_rate", -1),
    ("config.learning_rate", "fast"),
    ("config.norm", "other"),
    ("config.prioritization", "abdpp"),
    ("config.prioritization", "abdp(start=0)"),
    ("config.prioritization", "abdp(start=1.0, start=2.0)"),
    ("config.prioritization", 3),
    ("config.seed", -1),
    ("config.threads", 0),
    ("config.surprise", 1),
    ("start", 3),
    ("record", []),
    ("record.start", 3),
    ("record.classes", 3),
    ("record.classes", {"a": "abc"}),
]


@pytest.mark.parametrize(("field", "value"), STAGE_FIELDS, ids=str)
@pytest.mark.parametrize("stage", ["search", "train"])
def test_a_wrong_field_of_config_json_is_refused(
    stage: str, field: str, value: Any, finished: Path, copy: Copy, refused: Refused
) -> None:
    if (stage, field, value) == ("train", "stage", "train"):
        value = "search"
    run = copy(finished)
    edit(run / stage / "config.json", field, value)
    refused([stage, "--run", str(run)], str(run / stage))


SEARCH_RESULTS: list[tuple[str, Any]] = [
    ("paths", {}),
    ("paths", []),
    ("paths.a", 3),
    ("paths.a", "k9e9 k9e9"),
    ("paths.a", DELETE),
    ("paths.z", "k3e1 k3e1"),
    ("costs", None),
    ("costs.a", "cheap"),
    ("costs.a", DELETE),
    ("cost_target", None),
    ("cost_target", "half"),
    ("files", []),
    ("files", {"policy.npy": 3}),
]


@pytest.mark.parametrize(("field", "value"), SEARCH_RESULTS, ids=str)
def test_a_wrong_field_of_the_results_of_a_search_is_refused(
    field: str, value: Any, finished: Path, copy: Copy, refused: Refused
) -> None:
    run = copy(finished)
    edit(run / "search/results.json", field, value)
    refused(["search", "--run", str(run)])


TRAIN_RESULTS: list[tuple[str, Any]] = [
    ("evaluation", []),
    ("evaluation", {}),
    ("evaluation", "good"),
    ("evaluation.0", 3),
    ("evaluation.0", DELETE),
    ("evaluation.0.domain", "z"),
    ("evaluation.0.domain", 3),
    ("evaluation.0.split", "train"),
    ("evaluation.0.split", "test"),
    ("evaluation.0.images", 0),
    ("evaluation.0.accuracy", 1.5),
    ("evaluation.0.accuracy", -0.1),
    ("evaluation.0.accuracy", "high"),
    ("evaluation.0.accuracy", None),
    ("evaluation.0.loss", -1),
    ("evaluation.0.loss", DELETE),
]


@pytest.mark.parametrize(("field", "value"), TRAIN_RESULTS, ids=str)
@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_wrong_field_of_the_results_of_a_training_is_refused(
    command: str, field: str, value: Any, finished: Path, copy: Copy, refused: Refused
) -> None:
    run = copy(finished)
    edit(run / "train/results.json", field, value)
    refused([command, "--run", str(run)])


def array(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, content, **options)
    return buffer.getvalue()


BOUND = {
    "search/policy.npy": [b"", b"\x93NUMPY", array(np.zeros(3)), array(np.zeros((3, 3, 2, 4)))],
    "search/paths.json": [b"{}", b'{"a": "k3e1 k3e1"}', b'{"a": 3}'],
    "search/metrics.jsonl": [b"", b"{}\n", b'{"step": 1, "domains": {}}\n'],
    "search/supernet.safetensors": [b"", b"\xff" * 100],
    "train/metrics.jsonl": [b"", b"\n\n\n", b"not json\n"],
    "train/model.safetensors": [
        b"",
        b"\xff" * 8 + b"{}",
        safetensors.torch.save({"weight": torch.zeros(2)}),
    ],
    "train/paths.json": [b"{}", b'{"a": "k3e1 k3e1", "b": "zero k3e3"}'],
}
CASES = [(name, i) for name, contents in BOUND.items() for i in range(len(contents))]


@pytest.mark.parametrize(("name", "index"), CASES)
def test_a_file_that_the_results_do_not_belong_to_is_named_with_what_to_do(
    name: str, index: int, finished: Path, copy: Copy, refused: Refused, tmp_path: Path
) -> None:
    """Also without the checksums, as a folder of release 0.1 is."""
    run = copy(finished)
    (run / name).write_bytes(BOUND[name][index])
    refused(["check", str(run)], "1 folder is not in order")
    edit(run / name.partition("/")[0] / "results.json", "files", {})
    refused(["check", str(run)], "1 folder is not in order")


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_a_file_of_another_seed_is_not_taken_for_its_own(
    name: str, finished: Path, copy: Copy, refused: Refused
) -> None:
    run = copy(finished)
    stage = name.partition("/")[0]
    content = (run / name).read_bytes()
    (run / name).write_bytes(content.replace(b"1", b"2") if b"1" in content else content[::-1])
    command = ["train", "--run", str(run)] if stage == "train" else ["search", "--run", str(run)]
    if name not in (
        "train/model.safetensors",
        "search/supernet.safetensors",
        "search/paths.json",
        "train/metrics.jsonl",
    ):
        refused(command, name)
    refused(["check", str(run)], "1 folder is not in order")


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("name", ["run.json", "search/config.json", "search/results.json"])
def test_other_encodings_of_json_are_read(
    name: str, mark: str, finished: Path, copy: Copy, capfd: pytest.CaptureFixture[str]
) -> None:
    run = copy(finished)
    text = (run / name).read_text(encoding="utf-8")
    (run / name).write_bytes(text.encode(mark))
    assert main(["search", "--run", str(run)]) == 0
    assert main(["check", str(run)]) == 0


# Checkpoints --------------------------------------------------------------------------------------


def nan(tensor: torch.Tensor) -> torch.Tensor:
    return torch.full_like(tensor, float("nan"))


def changed(path: str, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A change of the value at a path of a checkpoint, such as `state.net.*` (its first key)."""

    def apply(content: Any) -> Any:
        inner, *names = content, *path.split(".")
        for name in names[:-1]:
            inner = inner[next(iter(inner)) if name == "*" else name]
        last = next(iter(inner)) if names[-1] == "*" else names[-1]
        value = change(inner[last])
        if isinstance(value, str) and value == DELETE:
            del inner[last]
        else:
            inner[last] = value
        return content

    return apply


def to(value: Any) -> Callable[[Any], Any]:
    return lambda old: value


CHECKPOINTS: dict[str, Callable[[Any], Any]] = {
    "none": to(None),
    "a list": to([1, 2]),
    "a number": to(3),
    "a tensor": to(torch.zeros(3)),
    "empty": to({}),
    "keys that are numbers": to({1: 2}),
    "no format": changed("format", to(DELETE)),
    "another format": changed("format", to(99)),
    "format of text": changed("format", to("2")),
    "no config": changed("config", to(DELETE)),
    "another config": changed("config", to("0" * 64)),
    "step of a million": changed("step", to(10**6)),
    "step none": changed("step", to(None)),
    "step -5": changed("step", to(-5)),
    "step 0": changed("step", to(0)),
    "step 3.5": changed("step", to(3.5)),
    "step true": changed("step", to(True)),
    "step of text": changed("step", to("2")),
    "step 1": changed("step", to(1)),
    "seconds nan": changed("seconds", to(float("nan"))),
    "seconds infinite": changed("seconds", to(float("inf"))),
    "seconds -1": changed("seconds", to(-1.0)),
    "seconds of text": changed("seconds", to("1")),
    "no seconds": changed("seconds", to(DELETE)),
    "metrics none": changed("metrics", to(None)),
    "metrics -1 bytes": changed("metrics", lambda m: [-1, m[1]]),
    "metrics of many bytes": changed("metrics", lambda m: [10**12, m[1]]),
    "metrics of another checksum": changed("metrics", lambda m: [m[0], "0" * 64]),
    "metrics of no bytes": changed("metrics", lambda m: [0, m[1]]),
    "metrics of three": changed("metrics", lambda m: [*m, 3]),
    "no state": changed("state", to(DELETE)),
    "state none": changed("state", to(None)),
    "state empty": changed("state", to({})),
    "state of a list": changed("state", to([])),
    "more than a checkpoint": lambda content: {**content, "surprise": 1},
    "no net": changed("state.net", to(DELETE)),
    "net none": changed("state.net", to(None)),
    "net empty": changed("state.net", to({})),
    "a weight less": changed("state.net.*", to(DELETE)),
    "a weight more": changed("state.net", lambda net: {**net, "surprise": torch.zeros(1)}),
    "a weight of nan": changed("state.net.*", nan),
    "a weight of another shape": changed("state.net.*", lambda w: w.new_zeros(7)),
    "a weight of another type": changed("state.net.*", lambda w: w.double()),
    "a weight that is a number": changed("state.net.*", to(0.5)),
    "no optimiser": changed("state.optimiser", to(DELETE)),
    "optimiser of text": changed("state.optimiser", to("sgd")),
    "no groups": changed("state.optimiser.param_groups", to([])),
    "moments of nan": changed("state.optimiser.state.*.momentum_buffer", nan),
    "moments of another shape": changed(
        "state.optimiser.state.*.momentum_buffer", lambda m: m.new_zeros(99)
    ),
    "moments of a number that no weight has": changed(
        "state.optimiser.state", lambda s: {**s, 10**6: next(iter(s.values()))}
    ),
    "no streams": changed("state.streams", to({})),
    "a stream less": changed("state.streams.a", to(DELETE)),
    "a stream without a generator": changed("state.streams.a.generator", to(DELETE)),
    "a generator of zeros": changed("state.streams.a.generator", torch.zeros_like),
    "a generator of other bytes": changed("state.streams.a.generator", lambda g: g[:100]),
    "an order out of range": changed("state.streams.a.order", lambda o: o + 10**6),
    "a negative order": changed("state.streams.a.order", lambda o: o - 10**6),
    "an order of numbers with decimals": changed("state.streams.a.order", lambda o: o.float()),
    "an order of two dimensions": changed("state.streams.a.order", lambda o: o[None]),
    "prioritization of text": changed("state.prioritization", to("abdp")),
    "prioritization empty": changed("state.prioritization", to({})),
    "prioritization of nan": changed("state.prioritization.*", nan),
    "prioritization of other domains": changed("state.prioritization.*", lambda t: t[:1]),
}
SEARCH_CHECKPOINTS: dict[str, Callable[[Any], Any]] = {
    "no controllers": changed("state.controllers", to(DELETE)),
    "logits of nan": changed("state.controllers.logits", nan),
    "logits of another shape": changed("state.controllers.logits", lambda x: x.new_zeros(2)),
    "controllers of release 0.1": changed(
        "state.controllers",
        lambda c: {"policies": {"of_a.logits": c["logits"][0]}, "optimiser": c["optimiser"]},
    ),
    "averages of nan": changed("state.controllers.average", nan),
    "averages of text": changed("state.controllers.average", to({"a": "high"})),
    "policies empty": changed("state.policies", to([])),
    "policies of numbers": changed("state.policies", to([1, 2])),
    "policies of nan": changed("state.policies", lambda ps: [nan(p) for p in ps]),
    "policies of another shape": changed("state.policies", lambda ps: [p[:1] for p in ps]),
    "policies of too many steps": changed("state.policies", lambda ps: [*ps, *ps, *ps]),
    "no generator": changed("state.generator", to(DELETE)),
    "generator of text": changed("state.generator", to("seed")),
}


def checkpoint_is_refused(
    run: Path, stage: str, change: Callable[[Any], Any], refused: Refused, *options: str
) -> None:
    file = run / stage / "checkpoint.pt"
    torch.save(change(torch.load(file, weights_only=True)), file)
    said = refused([stage, "--run", str(run), *options], str(file.parent))
    assert "Delete checkpoint.pt to begin this stage again." in said


@pytest.mark.parametrize("name", [*CHECKPOINTS, *SEARCH_CHECKPOINTS])
def test_a_wrong_checkpoint_of_a_search_is_refused_and_nothing_is_cut(
    name: str, stopped: Path, copy: Copy, refused: Refused
) -> None:
    change = {**CHECKPOINTS, **SEARCH_CHECKPOINTS}[name]
    checkpoint_is_refused(copy(stopped), "search", change, refused)


@pytest.mark.parametrize(
    "name",
    [
        *CHECKPOINTS,
        "an average less",
        "an average of nan",
        "a number of averages of text",
        "a search's",
    ],
)
def test_a_wrong_checkpoint_of_a_training_is_refused_and_nothing_is_cut(
    name: str, stopped: Path, finished: Path, copy: Copy, refused: Refused
) -> None:
    more = {
        "an average less": changed("state.averaged.net.*", to(DELETE)),
        "an average of nan": changed(
            "state.averaged.net",
            lambda a: {k: nan(v) if v.is_floating_point() else v for k, v in a.items()},
        ),
        "a number of averages of text": changed("state.averaged.count", to("many")),
        "a search's": lambda content: torch.load(
            stopped / "search" / "checkpoint.pt", weights_only=True
        ),
    }
    run = copy(stopped).parent / "taken"
    edit(run / "run.json", "search_from", os.path.relpath(finished, run))
    change = {**CHECKPOINTS, **more}[name]
    checkpoint_is_refused(run, "train", change, refused, "--search-from", str(finished))


@pytest.mark.parametrize("cut", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_checkpoint_that_is_cut_short_is_refused(
    cut: float, stopped: Path, copy: Copy, refused: Refused
) -> None:
    run = copy(stopped)
    file = run / "search" / "checkpoint.pt"
    content = file.read_bytes()
    file.write_bytes(content[: int(cut * len(content))])
    said = refused(["search", "--run", str(run)], str(file))
    assert "weights_only" not in said


METRICS: dict[str, Callable[[bytes], bytes]] = {
    "missing": lambda content: b"",
    "cut": lambda content: content[:-20],
    "another number": lambda content: content.replace(b"0.", b"1.", 1),
    "lines in another order": lambda content: b"\n".join(content.split(b"\n")[1::-1]) + b"\n",
}


@pytest.mark.parametrize("name", METRICS)
def test_metrics_that_do_not_fit_the_checkpoint_are_refused_and_not_cut(
    name: str, stopped: Path, copy: Copy, refused: Refused
) -> None:
    run = copy(stopped)
    file = run / "search" / "metrics.jsonl"
    file.write_bytes(METRICS[name](file.read_bytes()))
    refused(["search", "--run", str(run)], str(file), "does not fit the checkpoint")


def test_a_stopped_run_ends_after_all_of_that(stopped: Path, copy: Copy) -> None:
    run = copy(stopped)
    assert main(["search", "--run", str(run)]) == 0
    assert main(["check", str(run)]) == 0
