"""Weights to start from, as text: pretrained ones, or those of a finished training of the kit."""

import pathlib

from mpnas_kit import files
from mpnas_kit.errors import MpnasError
from mpnas_kit.runs.description import RUN
from mpnas_kit.starts.source import Start
from mpnas_kit.starts.texts import START, pretrained
from mpnas_kit.training.result import TrainResult
from mpnas_kit.values import require_type


def start_from_text(text: str, trust: bool = False) -> Start:
    """Return the weights written as `text`, which a person gave.

    text: one of these:

    - `lite0`: EfficientNet-Lite0, trained on ImageNet, from the extra `lite0`;
    - the path of a checkpoint (`.pth`, `.pt`, `.safetensors`) of a MobileNetV3-Large, with the
      names of torchvision or timm, or of an EfficientNet-Lite0; it is never unpickled;
    - `mobilenet_v3_large(file='weights.pth', tensorflow=True)`: a checkpoint that timm calls `tf_`;
    - the folder of a run with a finished training, or its folder `train`;
    - `module:Name(option=value)` or `file.py:Name(option=value)`: a `Start` of your own.

    trust: whether modules that a run folder names are imported.

    Raises `MpnasError` if the text cannot be read, there is no such file or folder, a file holds
    another network or is damaged, or a training is not finished.

    >>> start = mk.start_from_text("lite0")  # doctest: +SKIP
    >>> start.paths["imagenet"].arch[:14], start.checksum[:8]  # doctest: +SKIP
    ('k3e1 k3e6 k3e6', '57934424')
    """
    require_type(text, str, "start")
    if text.partition("(")[0].strip() in START.known:
        return pretrained(text)
    path = files.as_path(text, "start")
    with files.file_errors("look at", path):
        is_folder = path.is_dir()
    if not is_folder and files.exists(path) and files.exists(path.parent / "config.json"):
        raise MpnasError(
            f"{path} is a file of a stage of the kit: give the folder of its run, or of the stage "
            f"({path.parent}), since the weights alone do not say which network they are of."
        )
    return _trained(text, path, trust) if is_folder else pretrained(text)


def _trained(text: str, folder: pathlib.Path, trust: bool) -> Start:
    """Return the weights of a finished training. folder: a run folder, or a stage folder."""
    is_run = files.exists(folder / RUN)
    if is_run and not files.exists(folder / "train"):
        raise MpnasError(
            f"{folder} has no training to start from: run `mpnas train --run {folder}` first."
        )
    stage = folder / "train" if is_run else folder
    result = TrainResult.load(stage, trust=trust)
    signatures = {} if result.signatures is None else result.signatures
    classes = {domain: signature.classes for domain, signature in signatures.items()}
    checksum = files.checksum(stage / "model.safetensors")
    return Start(text, checksum, result.net, result.paths, result.standard, classes)
