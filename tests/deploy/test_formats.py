"""Every format of `export`: agreement with torch, what files and cards say, what is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

import mpnas_kit as mk
from mpnas_kit import files
from mpnas_kit.cli.commands import main
from mpnas_kit.deploy import exporting, int8, metadata
from mpnas_kit.deploy.form import deploy_form
from mpnas_kit.deploy.formats import FORMATS, Format, format_table
from mpnas_kit.deploy.pte import MOST_IMAGES, method_names
from mpnas_kit.deploy.pte_session import SEAL, sealed
from mpnas_kit.domains.domain import DomainSuite

pytestmark = pytest.mark.xdist_group("formats")
ALL = list(FORMATS)
FLOAT = [format for format in ALL if format != "onnx-int8"]
LICENSE = "CC0-1.0, née for tests"
DOCS = Path(__file__).parents[2] / "docs"
Exports = Callable[[Format], list[mk.Written]]


def named_suite() -> DomainSuite:
    """Two domains, whose names are no identifiers, with enough images for int8."""
    made = (
        tiny.domain("my-pets", 4, 3, 48, seed=1),
        tiny.domain("3d", 3, 1, 40, seed=2),
    )
    return DomainSuite(made, "named")


SUITE = named_suite()


@pytest.fixture(scope="module")
def small() -> mk.Model:
    """A model of two domains that share all convolutions."""
    layers = tiny.layers()
    block = mk.InvertedBottleneck(5, 2, se=True)
    space = mk.LayerwiseSpace(
        "small", (layers[0], mk.Layer("one", 1, (8,), (block,)), layers[-1]), tiny.SIZE
    )
    paths = dict.fromkeys(SUITE.names, space.path([]))
    return mk.Model.of(mk.train(SUITE, space, paths, tiny.train_config(steps=30)))


@pytest.fixture(scope="module")
def exports(small: mk.Model, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Function of a format that returns its files. Every format is exported once."""
    made: dict[str, list[mk.Written]] = {}

    def export(format: Format) -> list[mk.Written]:
        if format not in made:
            out = tmp_path_factory.mktemp("formats") / f"tiny{FORMATS[format].ending}"
            made[format] = mk.export(
                small, out, format=format, images=SUITE, license=LICENSE, max_loss=0.2
            )
        return made[format]

    return export


def written_of(exports: Exports, format: Format, domain: str) -> mk.Written:
    return next(done for done in exports(format) if domain in done.domains)


# What is written ----------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ALL)
def test_a_file_gives_the_logits_of_torch_for_any_batch(
    format: Format, small: mk.Model, exports: Exports
) -> None:
    for domain in small.domains:
        done = written_of(exports, format, domain)
        assert done.bytes == done.path.stat().st_size
        loaded = mk.load(done.path)
        assert loaded.domains == done.domains
        assert loaded.signature(domain) == small.signature(domain)
        network = loaded.network(domain)
        images = tiny.pixels(SUITE[domain].test).expand(-1, 3, -1, -1)
        for count in (1, 2, 7, MOST_IMAGES + 6):
            pixels = images[torch.arange(count) % len(images)]
            expected, found = small.network(domain)(pixels), network(pixels)
            assert found.dtype == torch.float32
            if format == "onnx-int8":  # steps of 1/256 of the range of a value
                assert float((found - expected).abs().max()) < 0.2 * float(expected.abs().max())
            else:
                torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(network(images.float() / 255), network(images))


@pytest.mark.parametrize("format", ALL)
def test_a_file_predicts_and_evaluates_as_the_run_does(
    format: Format, small: mk.Model, exports: Exports
) -> None:
    domain = "3d"
    loaded = mk.load(written_of(exports, format, domain).path)
    grey = tiny.pixels(SUITE[domain].test)
    found, expected = (m.predict(grey, domain=domain) for m in (loaded, small))
    if format != "onnx-int8":
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    assert found.labels == expected.labels
    accuracy = loaded.evaluate(SUITE.select([domain])).domains["accuracy"].tolist()
    assert accuracy == [small.result.accuracy()[domain]]
    with pytest.raises(mk.MpnasError, match="no training result"):
        _ = loaded.result


@pytest.mark.parametrize("format", ALL)
def test_files_and_cards_are_named_as_the_table_says(format: Format, exports: Exports) -> None:
    about, written = FORMATS[format], exports(format)
    names = ["tiny-my-pets", "tiny-3d"] if about.alone else ["tiny"]
    assert [w.path.name for w in written] == [name + about.ending for name in names]
    ends = ("", ".card.md", ".card.json")
    expected = {name + about.ending + end for name in names for end in ends}
    assert set(os.listdir(written[0].path.parent)) == expected


@pytest.mark.parametrize("format", ALL)
def test_no_file_has_a_trace_of_this_machine(format: Format, exports: Exports) -> None:
    private = {os.getcwd(), str(Path.home()), os.path.dirname(mk.__file__), "/tmp"}
    private |= {str(exports(format)[0].path.parent), "site-packages", "Traceback", "stack_trace"}
    private |= {".py", "torch.nn", "pkg.torch"}
    for file in exports(format)[0].path.parent.iterdir():
        content = file.read_bytes()
        for text in private:
            assert text.encode() not in content, f"{file.name} has {text}"


@pytest.mark.parametrize("format", ALL)
def test_the_card_says_what_was_measured(format: Format, small: mk.Model, exports: Exports) -> None:
    for done in exports(format):
        card = json.loads(Path(f"{done.path}.card.json").read_text(encoding="utf-8"))
        assert (card["file"], card["bytes"]) == (done.path.name, done.bytes)
        assert (card["format"], card["license"]) == (format, LICENSE)
        assert [d["name"] for d in card["domains"]] == list(done.domains)
        for domain in card["domains"]:
            for entry in domain["accuracies"]:
                accuracy = small.result.accuracy(entry["split"])[domain["name"]]
                assert entry["accuracy"] == accuracy and entry["images"] == 12
                assert entry["low"] <= accuracy <= entry["high"]
        text = Path(f"{done.path}.card.md").read_text(encoding="utf-8")
        for words in (done.path.name, LICENSE, "3, 16, 16", f"format='{format}'", "class2"):
            assert words in text
        assert ("| accuracy |" in text) == (format == "onnx-int8")


def test_equal_weights_of_domains_are_stored_once(small: mk.Model, exports: Exports) -> None:
    result = small.result
    for format in ("onnx", "pte"):
        (done,) = exports(format)  # type: ignore[arg-type]
        content = done.path.read_bytes()
        for name, parameter in result.net.named_parameters():
            if parameter.ndim == 4 and parameter.shape[2] > 1:
                kernel = parameter.detach()
                if format == "pte":  # XNNPACK has channels last, or first axis last
                    depthwise = kernel.shape[1] == 1
                    kernel = kernel.permute(1, 2, 3, 0) if depthwise else kernel.permute(0, 2, 3, 1)
                assert content.count(kernel.contiguous().numpy().tobytes()) == 1, (format, name)


# ExecuTorch ---------------------------------------------------------------------------------------


def test_methods_of_a_program_say_what_a_phone_needs(small: mk.Model, exports: Exports) -> None:
    from executorch.runtime import Runtime

    (done,) = exports("pte")
    program = Runtime.get().load_program(done.path.read_bytes())
    texts = {"mpnas_kit.domains", "mpnas_kit.version", "mpnas_kit.format", "license"}
    assert program.method_names == {"my_pets", "_3d"} | texts
    said = {name: program.load_method(name).execute(())[0] for name in texts}
    assert said["license"] == LICENSE and said["mpnas_kit.format"] == "pte"
    domains = json.loads(said["mpnas_kit.domains"])
    assert [domains[d]["output"] for d in SUITE.names] == ["my_pets", "_3d"]
    for name, signature in small.signatures.items():
        assert domains[name]["classes"] == list(signature.classes)
        assert domains[name]["mean"] == list(signature.mean)
        assert (domains[name]["resolution"], domains[name]["how"]) == (16, "crop")
    shape = program.load_method("my_pets").metadata.input_tensor_meta(0).sizes()
    assert tuple(shape) == (MOST_IMAGES, 3, 16, 16)
    assert "Methods: `my_pets`, `_3d`" in Path(f"{done.path}.card.md").read_text()


def test_method_names_differ() -> None:
    names = method_names(["a", "a-", "a_", "-a", "_a", "1", "_1", "class"])
    assert len(set(names.values())) == 8 and all(n.isidentifier() for n in names.values())


def test_a_damaged_program_is_refused_in_a_sentence(exports: Exports, tmp_path: Path) -> None:
    (done,) = exports("pte")
    content, file = done.path.read_bytes(), tmp_path / "cut.pte"
    program = content[: content.rindex(SEAL)]
    flipped = bytearray(content)
    flipped[len(program) // 2] ^= 1
    for damaged in (
        content[:8],
        content[: len(content) // 2],
        content[:-1],
        program,
        bytes(flipped),
        sealed(program[: len(program) // 2]),
        sealed(program.replace(b"mpnas_kit.domains", b"mpnas_kit.domainx")),
        sealed(program.replace(b'"output": "_3d"', b'"output": "_4d"')),
        sealed(program.replace(b'"output": "_3d"', b'"output" : _3d"')),
    ):
        file.write_bytes(damaged)
        with pytest.raises(mk.MpnasError, match=r"cut\.pte") as refused:
            mk.load(file)
        assert "\n" not in str(refused.value)


# int8 ---------------------------------------------------------------------------------------------


def test_int8_is_compared_with_float(exports: Exports, small: mk.Model) -> None:
    for done in exports("onnx-int8"):
        (domain,) = done.domains
        found = done.quantization
        assert found is not None and found.accuracy is not None
        counts = (found.calibrated, found.images, found.labelled)
        assert counts == (len(SUITE[domain].train), 12, 12)
        assert found.accuracy[0] == small.result.accuracy()[domain]
        assert found.lost == found.accuracy[0] - found.accuracy[1]
        assert found.bytes == (written_of(exports, "onnx-folded", domain).bytes, done.bytes)
        assert set(found.milliseconds) == {1, 64}
        card = json.loads(Path(f"{done.path}.card.json").read_text())
        assert card["quantization"]["agreement"] == found.agreement
    assert all(w.quantization is None for format in FLOAT for w in exports(format))


def test_int8_weights_are_eight_bits_per_channel(exports: Exports) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(str(exports("onnx-int8")[0].path)).graph
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    scales = [n.input[1] for n in graph.node if n.op_type == "DequantizeLinear"]
    assert any(tensors[s].size > 1 for s in scales), "one scale per channel"
    zero = [n.input[2] for n in graph.node if n.op_type == "QuantizeLinear"]
    assert {tensors[z].dtype.name for z in zero} == {"int8"}, "signed activations"
    kernels = [t for t in tensors.values() if t.ndim == 4 and t.shape[2:] != (1, 1)]
    assert {k.dtype.name for k in kernels} == {"int8"}


def test_images_without_labels_measure_agreement(small: mk.Model, tmp_path: Path) -> None:
    images = tiny.pixels(SUITE["3d"].train)
    (done,) = mk.export(
        small, tmp_path / "x.onnx", domain="3d", format="onnx-int8", images=images, max_loss=1
    )
    found = done.quantization
    assert found is not None and found.accuracy is None and found.images == 40
    labels = [m.predict(images, domain="3d").labels for m in (small, mk.load(done.path))]
    assert found.agreement == pytest.approx(np.mean([a == b for a, b in zip(*labels, strict=True)]))
    assert found.lost == 1 - found.agreement


def test_int8_that_loses_too_much_is_not_written(
    small: mk.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "agreement", lambda *_: 0.9)
    images = tiny.pixels(SUITE["3d"].train)
    options: dict[str, Any] = {"domain": "3d", "format": "onnx-int8", "images": images}
    with pytest.raises(mk.MpnasError, match=r"class of 10\.0% of 40 images, more than 5\.0%"):
        mk.export(small, tmp_path / "x.onnx", **options)
    assert os.listdir(tmp_path) == []


def test_few_images_are_evenly_spaced(monkeypatch: pytest.MonkeyPatch, small: mk.Model) -> None:
    from mpnas_kit.deploy import export_images

    monkeypatch.setattr(export_images, "MOST", 4)
    found = export_images.samples_of(SUITE, "3d", small.signature("3d"))
    expected = tiny.pixels(SUITE["3d"].train)[[0, 13, 26, 39]].expand(-1, 3, -1, -1)
    assert torch.equal(found.calibration, expected) and len(found.check) == 4


# All or none --------------------------------------------------------------------------------------


def test_either_all_files_are_written_or_none(
    small: mk.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {"x-my-pets.onnx": b"mine", "x-my-pets.onnx.card.md": b"notes"}
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(exporting, "onnx_content", lambda forms, *_: str(forms).encode())
    monkeypatch.setattr(exporting._Part, "_difference", lambda *_: 0.0)
    for blocked in ("x-3d.onnx", "x-3d.onnx.card.json"):
        (tmp_path / blocked).mkdir()
        with pytest.raises(mk.MpnasError, match=f"{blocked}: it is a folder"):
            mk.export(small, tmp_path / "x.onnx", format="onnx-folded")
        (tmp_path / blocked).rmdir()
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    replace, calls = os.replace, []

    def fails_once(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 4:
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", fails_once)
    with pytest.raises(mk.MpnasError, match="cannot write .*x-3d.onnx: input/output error"):
        mk.export(small, tmp_path / "x.onnx", format="onnx-folded")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    mk.export(small, tmp_path / "x.onnx", format="onnx-folded")
    assert len(os.listdir(tmp_path)) == 6


# What is refused ----------------------------------------------------------------------------------


def test_a_network_that_differs_is_not_written(
    small: mk.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(net: Any, domain: str, *more: Any) -> Any:
        return torch.nn.Sequential(deploy_form(net, domain, *more), torch.nn.ReLU())

    monkeypatch.setattr(exporting, "onnx_content", lambda *_: b"")
    monkeypatch.setattr(exporting, "deploy_form", other)
    network = type("Read", (), {"network": staticmethod(small.network)})
    monkeypatch.setattr(exporting, "read_exported", lambda *_: network)
    (tmp_path / "x.onnx").write_bytes(b"before")
    with pytest.raises(mk.MpnasError, match=r"differs from torch by .*not written"):
        mk.export(small, tmp_path / "x.onnx")
    assert (tmp_path / "x.onnx").read_bytes() == b"before" and len(os.listdir(tmp_path)) == 1


def _missing(name: str) -> Any:
    raise ImportError(name)


def test_a_missing_package_is_a_sentence_with_the_command(
    small: mk.Model, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {format: exports(format)[0].path for format in ALL}
    monkeypatch.setattr(metadata.importlib, "import_module", _missing)
    for format, file in written.items():
        extra = "mobile" if format == "pte" else "onnx"
        words = rf"pip install 'mpnas-kit\[{extra}\]'"
        with pytest.raises(mk.MpnasError, match=words):
            mk.export(small, tmp_path / file.name, format=format, images=SUITE)
        with pytest.raises(mk.MpnasError, match=words):
            mk.load(file)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("count", "words"), [(0, "but 0 are given"), (int8.LEAST - 1, "at least 32 training images")]
)
def test_too_few_images_for_int8_are_refused(
    count: int, words: str, small: mk.Model, tmp_path: Path
) -> None:
    images = list(tiny.pixels(SUITE["3d"].train)[:count])
    with pytest.raises(mk.MpnasError, match=words):
        mk.export(small, tmp_path / "x.onnx", domain="3d", format="onnx-int8", images=images)
    assert os.listdir(tmp_path) == []


# The command --------------------------------------------------------------------------------------


def test_help_and_docs_have_the_table_of_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    assert format_table() in capsys.readouterr().out
    docs = (DOCS / "deploy.md").read_text(encoding="utf-8")
    for name, about in FORMATS.items():
        assert f"| {' | '.join([f'`{name}`', *about.cells])} |" in docs


def test_the_command_prints_what_int8_changed(
    moved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(domain: str, data: str, status: int) -> str:
        command = ["export", "--run", str(moved), "--out", str(tmp_path / "x.onnx")]
        command += ["--format", "onnx-int8", "--max-loss", "1"]
        assert main([*command, "--domain", domain, "--data", data]) == status
        return "".join(capsys.readouterr())

    assert "has no domain 'b': it has a" in printed("b", "tiny:suite(count=1)", 2)
    assert "int8 needs at least 32 training images" in printed("b", "tiny:suite(count=2)", 2)
    assert os.listdir(tmp_path) == []
    said = printed("a", "tiny:suite(count=2)", 0)
    found = mk.load(tmp_path / "x.onnx").evaluate(tiny.suite(1)).domains["accuracy"].item()
    (line,) = [line for line in said.splitlines() if line.split()[:2] == ["a", "accuracy"]]
    assert line.split("accuracy")[1].count(f"{found:.1%} (") in (1, 2)
    assert all(words in said for words in ("float", "int8", "same class", "ms for 64 images"))
