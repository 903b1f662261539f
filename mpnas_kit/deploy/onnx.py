"""Export of a model to ONNX files, which are checked before they are written.

Two layouts:

- `shared`: one file for all domains. Batch norms are a scale and a shift per channel, so that
  convolutions which domains share are equal, and are stored once. A narrow convolution that has the
  first channels of a wide one is a slice of it.
- `folded`: one file per domain, with batch norms folded into the convolutions.

Every file takes `images`, uint8 (batch, 3, H, W), and has one output of logits per domain, float32
(batch, classes). The batch size is free. Normalisation is inside. Files have no paths of the
machine that wrote them.
"""

import contextlib
import copy
import logging
import pathlib
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

import mpnas_kit
from mpnas_kit import files
from mpnas_kit.deploy.form import folded
from mpnas_kit.deploy.onnx_graph import name_batch, store_once, strip
from mpnas_kit.deploy.session import (
    DOMAINS,
    INPUT,
    LAYOUT,
    LICENSE,
    VERSION,
    domain_metadata,
    optional,
    start_session,
)
from mpnas_kit.domains.signature import Signature
from mpnas_kit.errors import MpnasError, one_line

Layout = Literal["shared", "folded"]
OPSET = 20
BOUND = 1e-4  # largest difference between onnxruntime and torch
RANDOM_IMAGES = 16  # per domain, with which a file is checked


@dataclass(frozen=True)
class Written:
    """An exported file.

    path: the file.
    domains: names of its domains.
    bytes: size of the file.
    difference: largest difference of logits between onnxruntime and torch, on random images and on
    those that were given. It is relative to the largest logit if that is above 1.
    """

    path: pathlib.Path
    domains: tuple[str, ...]
    bytes: int
    difference: float


class ScaleShift(nn.Module):
    """A batch norm in evaluation mode as a scale and a shift per channel.

    norm: batch norm with statistics.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        self.register_buffer("scale", scale.detach().view(1, -1, 1, 1))
        self.register_buffer("shift", shift.detach().view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (B, C, H, W) normalised."""
        return x * self.scale + self.shift


class _Joint(nn.Module):
    """Several networks with one input."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for domain, network in networks.items():
            self.add_module(f"of_{domain}", network)

    def forward(self, inputs: tuple[Tensor]) -> tuple[Tensor, ...]:
        (images,) = inputs
        return tuple(network(images) for network in self.children())


def export_file(
    path: pathlib.Path,
    forms: Mapping[str, nn.Sequential],
    signatures: Mapping[str, Signature],
    layout: Layout,
    *,
    images: Mapping[str, Tensor],
    license: str,
) -> Written:
    """Write the networks of domains as one ONNX file, and return what was written.

    path: file to write. Its folder is made if there is none.
    forms: deploy form of every domain.
    signatures: images and classes of every domain.
    layout: `shared` or `folded`.
    images: for any of the domains, images to check the file with, uint8 (n, 3, H, W).
    license: note on the licence of the weights, for the metadata.

    Raises `MpnasError` if a package is missing, a block cannot be exported, domains differ in
    resolution, the outputs of the file differ from those of torch, or the file cannot be written.
    No file is then changed.
    """
    sizes = {signatures[d].resolution for d in forms}
    if len(sizes) > 1:
        raise MpnasError(
            f"the domains have images of {', '.join(map(str, sorted(sizes)))} pixels: expected one "
            "size in one file. Export them one by one, with `domain`."
        )
    (size,) = sizes
    outputs = {d: f"logits_{d}" for d in forms}
    model = _exported(forms, outputs, layout, size)
    strip(model)
    store_once(model)
    metadata = {
        VERSION: mpnas_kit.__version__,
        LAYOUT: layout,
        LICENSE: license,
        DOMAINS: domain_metadata({d: signatures[d] for d in forms}, outputs),
    }
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    name_batch(model)
    content: bytes = model.SerializeToString()
    difference = compare_outputs(content, forms, outputs, images, size)
    files.make_folder(path.parent)
    files.write_bytes(path, content)
    if files.read_bytes(path) != content:
        raise MpnasError(f"{path} does not have the content that was written: write it again.")
    return Written(path, tuple(forms), len(content), difference)


def _exported(
    forms: Mapping[str, nn.Sequential], outputs: Mapping[str, str], layout: Layout, size: int
) -> Any:
    """Return the networks as an ONNX model of torch's exporter."""
    prepare = folded if layout == "folded" else _scaled
    joint = _Joint({d: prepare(form) for d, form in forms.items()}).eval()
    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    what = f"the network of {', '.join(forms)}"
    return translated(joint, (example,), [INPUT], list(outputs.values()), what)


def translated(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    what: str,
) -> Any:
    """Return a module as an ONNX model of torch's exporter, for any batch size.

    module: module in evaluation mode, from a tuple of tensors to a tuple of tensors.
    examples: such a tuple, for two images.
    inputs, outputs: names of the tensors that it takes and returns.
    what: what it is, for an error.

    Raises `MpnasError` if a package is missing, or the module cannot be exported.
    """
    onnx, _ = optional("onnx", "onnxscript")
    batch = torch.export.Dim("batch", min=1)
    try:
        with _quiet(), torch.no_grad():
            shapes = tuple({0: batch} for _ in examples)
            traced = torch.export.export(module, (examples,), dynamic_shapes=(shapes,))
            program = torch.onnx.export(
                traced,
                dynamo=True,
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs,
                verbose=False,
            )
        assert program is not None
        model = program.model_proto
        onnx.checker.check_model(model)
    except Exception as error:  # of the exporter, or of a block's own code
        words = re.sub(r"\s+", " ", one_line(error.__cause__ or error))
        words = words.split("! For more")[0][:200]
        raise MpnasError(
            f"{what} cannot be exported to ONNX ({words}): expected blocks that torch.export "
            "supports, for any batch size."
        ) from None
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the warnings of torch's exporter about packages that it does not need."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _scaled(form: nn.Sequential) -> nn.Sequential:
    """Return a copy of a form whose batch norms are scales and shifts.

    Norms of your own blocks stay.
    """
    form = copy.deepcopy(form)
    for parent in list(form.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and isinstance(parent, nn.Sequential):
                setattr(parent, name, ScaleShift(child))
    return form


def compare_outputs(
    content: bytes,
    forms: Mapping[str, nn.Sequential],
    outputs: Mapping[str, str],
    images: Mapping[str, Tensor],
    size: int,
) -> float:
    """Return the largest difference of logits between onnxruntime and torch.

    It is relative to the largest logit if that is above 1. Images are random, and those given.

    content: the ONNX file.
    forms: deploy form of every domain.
    outputs: name of every domain's output.
    images: for any of the domains, further images, uint8 (n, 3, size, size).
    size: height and width, in pixels.

    Raises `MpnasError` if it is above `BOUND`.
    """
    running = start_session(content)
    generator = torch.Generator().manual_seed(0)
    shape = (RANDOM_IMAGES, 3, size, size)
    random = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    worst = 0.0
    for domain, form in forms.items():
        for pixels in (random, random[:1], images.get(domain, random[:0])):
            if len(pixels):
                (found,) = running.run([outputs[domain]], {INPUT: pixels.contiguous().numpy()})
                with torch.inference_mode():
                    expected = form(pixels).numpy()
                scale = max(1.0, float(np.abs(expected).max()))
                worst = max(worst, float(np.abs(found - expected).max()) / scale)
    if not worst <= BOUND:
        raise MpnasError(
            f"the exported network differs from torch by {worst:.1e}, more than {BOUND:g}: the "
            "file was not written."
        )
    return worst
