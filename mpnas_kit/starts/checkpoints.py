"""Files with the weights of other libraries. Nothing in them is ever unpickled."""

import hashlib
import io
import pathlib
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mpnas_kit import files
from mpnas_kit.errors import MpnasError, reason, short

SUFFIXES = (".pth", ".pt", ".safetensors")
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")  # the averaged weights first
_PREFIXES = ("module.", "_orig_mod.")  # of parallel and of compiled modules
_STARTS = (b"PK\x03\x04", b"\x80")  # of the files of torch, and of those of its releases before 1.6
_POINTER = b"version https://git-lfs"


def read_checkpoint(path: pathlib.Path) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a checkpoint by name, float32 on the CPU, and its SHA-256 checksum.

    A checkpoint may be wrapped in a dict, as `state_dict`, `model`, `state_dict_ema` or `model_ema`
    (averaged weights are preferred). Prefixes of parallel and compiled modules are removed. Numbers
    of batches (`num_batches_tracked`) are left out.

    path: a `.safetensors` file, or a file that torch wrote (`.pth`, `.pt`).

    Raises `MpnasError` if it cannot be read, its own checksums say that it is damaged, it holds
    anything but tensors, or a number in it is not finite.
    """
    content = files.read_bytes(path)
    if content.startswith(_POINTER):
        raise MpnasError(
            f"cannot read {path}: it is a pointer of Git LFS, not the file itself. Run `git lfs "
            "pull` in its folder."
        )
    if not content:
        raise MpnasError(f"cannot read {path}: it is empty.")
    read = _read_safetensors if path.suffix.lower() == ".safetensors" else _read_torch
    tensors = _without_prefixes(_unwrapped(read(content, path), path))
    kept = {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
    return {n: _number(n, t, path) for n, t in kept.items()}, hashlib.sha256(content).hexdigest()


def _read_safetensors(content: bytes, path: pathlib.Path) -> Any:
    try:
        return safetensors.torch.load(content)
    except Exception as error:  # of the parser
        raise MpnasError(
            f"cannot read {path}: it is no .safetensors file, or cut short ({reason(error)})."
        ) from None


def _read_torch(content: bytes, path: pathlib.Path) -> Any:
    damaged = MpnasError(f"cannot read {path}: it is no checkpoint of torch, or cut short.")
    if not content.startswith(_STARTS):
        raise damaged
    _refuse_wrong_sums(content, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise MpnasError(
            f"cannot read {path}: it holds more than tensors, and Python objects of a file are "
            "never made. Expected the file of torch.save(model.state_dict(), path)."
        ) from None
    except Exception:  # of the parser
        raise damaged from None


def _refuse_wrong_sums(content: bytes, path: pathlib.Path) -> None:
    """Raise `MpnasError` if a part of a zip file has another CRC-32. torch does not look at it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as whole:
            wrong = whole.testzip()
    except Exception:  # no zip file, or one that torch refuses as well
        return
    if wrong is not None:
        raise MpnasError(
            f"cannot read {path}: it is damaged, since {short(wrong)} in it has another checksum "
            "(or it was written without, by torch.serialization.set_crc32_options(False))."
        )


def _unwrapped(found: Any, path: pathlib.Path) -> Mapping[str, Any]:
    """Return the mapping of names to tensors in what a file holds."""
    if isinstance(found, Mapping):
        found = next((found[k] for k in _WRAPPERS if isinstance(found.get(k), Mapping)), found)
    if not isinstance(found, Mapping) or not found or not all(isinstance(n, str) for n in found):
        raise MpnasError(f"{path} holds {short(found)}: expected tensors by name.")
    return found


def _without_prefixes(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            shorter = {name.removeprefix(prefix): t for name, t in tensors.items()}
            return _without_prefixes(shorter)
    return tensors


def _number(name: str, tensor: Any, path: pathlib.Path) -> Tensor:
    """Return a tensor as float32. Raises `MpnasError` unless it is one, of finite numbers."""
    is_plain = isinstance(tensor, Tensor) and tensor.layout == torch.strided
    if not is_plain or not tensor.is_floating_point() or tensor.is_meta:
        raise MpnasError(
            f"{path}: {short(name)} is {_kind(tensor)}: expected a tensor of floating-point "
            "numbers."
        )
    found: Tensor = tensor.detach().float()
    if not bool(torch.isfinite(found).all()):
        raise MpnasError(
            f"{path}: the tensor {short(name)} has numbers that are not finite (as float32)."
        )
    return found


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return short(value)
    if value.is_meta:
        return "a tensor without values (on the device meta)"
    return f"a tensor of {value.dtype}, {value.layout}"
