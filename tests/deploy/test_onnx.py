"""ONNX files: interface, shared weights once, what is refused. `test_formats` has the rest."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

import mpnas_kit as mk
from mpnas_kit.cli.commands import main
from mpnas_kit.deploy import onnx_graph
from mpnas_kit.deploy import session as onnx_session

onnx: Any = pytest.importorskip("onnx")
runtime: Any = pytest.importorskip("onnxruntime")
SUITE = tiny.suite(3)
LICENSE = "CC0-1.0, made for tests"


@pytest.fixture(scope="module")
def shared(model: mk.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All domains of the run in one file."""
    out = tmp_path_factory.mktemp("shared") / "tiny.onnx"
    (done,) = mk.export(model, out, license=LICENSE, data="suite tiny")
    assert (done.path, done.domains) == (out, ("a", "b", "c")) and done.difference < 1e-5
    assert done.bytes == out.stat().st_size
    return out


@pytest.fixture(scope="module")
def folded(model: mk.Model, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One file per domain."""
    out = tmp_path_factory.mktemp("folded") / "new folder" / "tiny.onnx"
    done = mk.export(model, out, format="onnx-folded")
    assert [w.path.name for w in done] == ["tiny-a.onnx", "tiny-b.onnx", "tiny-c.onnx"]
    assert not out.exists() and all(w.difference < 1e-5 for w in done)
    return [w.path for w in done]


def graph_of(path: Path) -> Any:
    return onnx.load(str(path)).graph


def kernels(path: Path) -> list[Any]:
    return [onnx.numpy_helper.to_array(t) for t in graph_of(path).initializer if len(t.dims) == 4]


def test_any_batch_of_pixels_gives_the_logits_of_torch(
    model: mk.Model, shared: Path, folded: list[Path]
) -> None:
    running = runtime.InferenceSession(shared.read_bytes(), providers=["CPUExecutionProvider"])
    (taken,) = running.get_inputs()
    assert (taken.name, taken.type, taken.shape) == (
        "images",
        "tensor(uint8)",
        ["batch", 3, 16, 16],
    )
    assert [o.name for o in running.get_outputs()] == ["logits_a", "logits_b", "logits_c"]
    for count in (1, 2, 12):
        pixels = tiny.pixels(SUITE["b"].test)[:count]
        found = running.run(None, {"images": pixels.numpy()})
        for domain, logits, file in zip(model.domains, found, folded, strict=True):
            expected = model.network(domain)(pixels).numpy()
            np.testing.assert_allclose(logits, expected, atol=1e-5)
            alone = runtime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
            (again,) = alone.run(None, {"images": pixels.numpy()})
            np.testing.assert_allclose(again, expected, atol=1e-5)


def test_shared_weights_are_stored_once(model: mk.Model, shared: Path, folded: list[Path]) -> None:
    result = model.result
    assert result.net.norm == "per_domain"
    stored = sorted(
        k.tobytes() for k in kernels(shared) if k.size > k.shape[1] * k.shape[0] or True
    )
    assert len(stored) == len(set(stored))
    own = [p for n, p in result.net.named_parameters() if p.ndim == 4]
    convolutions = {k.tobytes() for k in kernels(shared)}
    for parameter in own:
        assert parameter.detach().contiguous().numpy().tobytes() in convolutions
    whole = {p.detach().contiguous().numpy().tobytes() for p in own}
    others = [k for k in kernels(shared) if k.tobytes() not in whole]
    assert all(k.shape[0] == 1 and k.shape[2:] == (1, 1) for k in others), "scales and shifts"
    size = sum(k.nbytes for k in kernels(shared))
    assert size < sum(k.nbytes for file in folded for k in kernels(file))
    for file in folded:
        operations = {n.op_type for n in graph_of(file).node}
        assert "BatchNormalization" not in operations
    assert "BatchNormalization" not in {n.op_type for n in graph_of(shared).node}


def test_a_narrow_path_is_a_slice_of_a_wide_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.shrink_factored(monkeypatch, ((16, 2), (32, 2)))
    space = mk.FactoredSpace("small", 16)
    choices = [[len(d.choices) - 1 for d in space.decisions], [0 for d in space.decisions]]
    paths = {d: space.path(c) for d, c in zip("ab", choices, strict=True)}
    trained = mk.train(tiny.suite(2), space, paths, tiny.train_config(steps=1))
    model = mk.Model.of(trained)
    monkeypatch.setattr(onnx_graph, "LEAST_SLICE", 10)
    (done,) = mk.export(model, tmp_path / "small.onnx")
    assert done.difference < 1e-5
    weights = [k for k in kernels(done.path) if not (k.shape[0] == 1 and k.shape[2:] == (1, 1))]
    own = [p for p in trained.net.parameters() if p.ndim == 4]
    assert sum(k.size for k in weights) == sum(p.numel() for p in own)
    images = tiny.pixels(SUITE["b"].test)
    for domain in "ab":
        found = mk.load(done.path).predict(images, domain=domain)
        expected = model.predict(images, domain=domain)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


def test_a_domain_is_cut_out_when_a_file_is_loaded(shared: Path, folded: list[Path]) -> None:
    part = onnx.load_from_string(onnx_session.cut_out(shared.read_bytes(), "logits_c"))
    assert [o.name for o in part.graph.output] == ["logits_c"]
    stored = sum(onnx.numpy_helper.to_array(t).nbytes for t in part.graph.initializer)
    whole = sum(onnx.numpy_helper.to_array(t).nbytes for t in graph_of(shared).initializer)
    assert stored < 0.6 * whole


def test_the_metadata_say_what_the_file_is(model: mk.Model, shared: Path) -> None:
    metadata = {e.key: e.value for e in onnx.load(str(shared)).metadata_props}
    assert metadata["license"] == LICENSE and metadata["mpnas_kit.format"] == "onnx"
    assert metadata["mpnas_kit.version"] == mk.__version__
    domains = json.loads(metadata["mpnas_kit.domains"])
    for name, signature in model.signatures.items():
        recorded = domains[name]
        assert recorded["classes"] == list(signature.classes)
        assert recorded["mean"] == list(signature.mean)
        assert recorded["output"] == f"logits_{name}"
    onnx.checker.check_model(onnx.load(str(shared)), full_check=True)


def test_the_card_says_what_was_measured(model: mk.Model, shared: Path) -> None:
    card = json.loads(Path(f"{shared}.card.json").read_text(encoding="utf-8"))
    assert card["file"] == "tiny.onnx" and card["bytes"] == shared.stat().st_size
    assert card["license"] == LICENSE and card["data"] == "suite tiny"
    table = mk.analysis.account(model.result.net, model.result.paths).domains.set_index("domain")
    for domain in card["domains"]:
        name = domain["name"]
        assert domain["arch"] == model.result.paths[name].arch
        assert domain["multiply_adds"] == table.loc[name, "multiply_adds"]
        parts = [p for p in model.network(name).parameters()]
        assert domain["parameters"] == sum(p.numel() for p in parts)
        for entry in domain["accuracies"]:
            assert entry["accuracy"] == model.result.accuracy(entry["split"])[name]
            assert 0 <= entry["macro_accuracy"] <= 1
            assert entry["low"] <= entry["accuracy"] <= entry["high"] and entry["images"] == 12
    text = Path(f"{shared}.card.md").read_text(encoding="utf-8")
    for words in ("# Model card of tiny.onnx", LICENSE, "suite tiny", "| a | 3 |", "class2"):
        assert words in text
    assert re.search(r"\| \d+\.\d% \(\d+\.\d% to \d+\.\d%; 12\); macro \d+\.\d% \|", text)


# What is refused ----------------------------------------------------------------------------------


def test_wrong_options_are_refused_before_anything_is_written(
    model: mk.Model, shared: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.onnx"
    cases: list[tuple[Any, Any, dict[str, Any], str]] = [
        (model, tmp_path / "x.txt", {}, r"ends with \.onnx"),
        (model, 3, {}, "out must be"),
        ("runs/mine", out, {}, "model must be"),
        (model, out, {"format": "fold"}, "'onnx' or 'onnx-folded'"),
        (model, out, {"domain": "aa"}, "did you mean 'a'"),
        (model, out, {"license": ""}, "license must be text"),
        (model, out, {"images": ["nowhere.png"]}, "nowhere.png"),
        (model, out, {"format": "pte"}, r"ends with \.pte for the format 'pte'"),
        (model, out, {"images": SUITE.select(["a"])}, "no domain 'b': it has a"),
        (model, out, {"format": "onnx-int8"}, "int8 of several domains needs"),
        (model, out, {"max_loss": 1.5}, "max_loss must be a number from 0 to 1"),
        (mk.load(shared), out, {}, "no training result"),
    ]
    for given, path, options, words in cases:
        with pytest.raises(mk.MpnasError, match=words):
            mk.export(given, path, **options)
    assert os.listdir(tmp_path) == []


def test_a_file_that_mpnas_did_not_write_is_refused(shared: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.onnx"

    def refused(content: bytes) -> str:
        file.write_bytes(content)
        with pytest.raises(mk.MpnasError) as error:
            mk.load(file)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "not written by" in refused(b"")
    assert "no ONNX file" in refused(b"no model at all")
    assert "x.onnx" in refused(shared.read_bytes()[: shared.stat().st_size // 2])
    for key, value, words in [
        ("mpnas_kit.domains", "{", "no valid JSON"),
        ("mpnas_kit.domains", "{}", "damaged"),
        ("mpnas_kit.domains", '{"a": {"channels": 2}}', "channels"),
        ("other", "{}", "not written by"),
    ]:
        model = onnx.load(str(shared))
        entry = next(e for e in model.metadata_props if e.key == "mpnas_kit.domains")
        entry.key, entry.value = key, value
        assert words in refused(model.SerializeToString())
    model = onnx.load(str(shared))
    tensor = model.graph.initializer[0]
    tensor.external_data.add(key="location", value="/etc/passwd")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    assert "weights in other files" in refused(model.SerializeToString())
    model = onnx.load(str(shared))
    model.graph.node[0].op_type = "Nothing"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(mk.MpnasError, match="onnxruntime refuses the file"):
        mk.load(file).predict(np.zeros((16, 16), np.uint8), domain="a")


def test_a_damaged_file_is_refused_before_it_predicts(shared: Path, tmp_path: Path) -> None:
    """onnxruntime computes with damaged weights as if nothing had happened."""
    model = onnx.load(str(shared))
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data)).raw_data
    content, file = shared.read_bytes(), tmp_path / "x.onnx"
    at = content.index(largest) + len(largest) // 2
    file.write_bytes(
        content[:at] + bytes(255 - byte for byte in content[at : at + 4]) + content[at + 4 :]
    )
    with pytest.raises(mk.MpnasError, match="x.onnx is damaged: its checksum does not fit"):
        mk.load(file)
    (entry,) = (e for e in model.metadata_props if e.key == "mpnas_kit.domains")
    (checksum,) = (e for e in model.metadata_props if e.key == "mpnas_kit.sha256")
    entry.value = entry.value.replace('"classes": ["', '"classes": ["x')
    file.write_bytes(model.SerializeToString())
    with pytest.raises(mk.MpnasError, match="x.onnx is damaged: its checksum does not fit"):
        mk.load(file)
    model.metadata_props.remove(checksum)  # as in files of earlier releases
    file.write_bytes(model.SerializeToString())
    assert mk.load(file).domains == mk.load(shared).domains


@dataclass(frozen=True)
class Frozen:
    """A block whose module runs a loop of Python over the images, if it is bad."""

    bad: bool = False
    name: str = "frozen"

    def build(self, inputs: int, outputs: int, stride: int, norm: mk.NormFactory) -> nn.Module:
        return _Frozen(norm(outputs), self.bad)


class _Frozen(nn.Module):
    def __init__(self, norm: nn.Module, bad: bool) -> None:
        super().__init__()
        self.norm, self.bad = norm, bad

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        if self.bad:
            y = torch.stack([y[i] for i in range(len(y))])
        return y.flip(1)  # type: ignore[no-any-return]


def of_own_block(block: Any) -> mk.Model:
    layers = (mk.Layer("stem", 2, (8,), (mk.Conv(3),)), mk.Layer("one", 1, (8,), (block,)))
    space = mk.LayerwiseSpace("mine", layers, 16)
    paths = dict.fromkeys("ab", space.path([]))
    return mk.Model.of(mk.train(tiny.suite(2), space, paths, tiny.train_config(steps=1)))


def test_a_block_of_your_own_is_exported_or_refused_in_words(tmp_path: Path) -> None:
    model = of_own_block(Frozen())
    for format in ("onnx", "onnx-folded"):
        written = mk.export(model, tmp_path / f"{format}.onnx", format=format)  # type: ignore[arg-type]
        assert all(w.difference < 1e-5 for w in written)
    with pytest.raises(mk.MpnasError, match="cannot be exported to ONNX") as refused:
        mk.export(of_own_block(Frozen(bad=True)), tmp_path / "bad.onnx")
    assert "\n" not in str(refused.value) and not (tmp_path / "bad.onnx").exists()


# The command --------------------------------------------------------------------------------------


def said(capsys: pytest.CaptureFixture[str], arguments: Sequence[object], status: int) -> str:
    assert main([str(a) for a in arguments]) == status
    output = capsys.readouterr()
    return output.err if status else output.out


def test_the_command_exports_a_run_without_its_images(
    moved: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.onnx"
    command = ["export", "--run", moved, "--out", out, "--domain", "b", "--license", LICENSE]
    printed = said(capsys, [*command, *photos[:3]], 0)
    assert str(out) in printed and "difference" in printed
    card = json.loads((tmp_path / "b.onnx.card.json").read_text())
    assert card["command"] == "mpnas export --run copy --out b.onnx --domain b --format onnx"
    assert card["data"] == "84 training images (a 36, b 28, c 20)"
    predicted = said(capsys, ["predict", "--run", out, *photos[:2]], 0)
    assert predicted == said(capsys, ["predict", "--run", moved, "--domain", "b", *photos[:2]], 0)
    refused = said(capsys, [*command[:-2], "--format", "fold"], 2)
    assert "format" in refused and len(refused.splitlines()) == 1
    refused = said(capsys, [*command, __file__], 2)
    assert "no image" in refused and len(refused.splitlines()) == 1
