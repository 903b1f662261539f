"""A model as ONNX: the content of a file for several domains, with float weights.

- `onnx`: all domains in one file. Batch norms are a scale and a shift per channel, so that
  convolutions which domains share are equal, and are stored once. A narrow convolution that has the
  first channels of a wide one is a slice of it.
- `onnx-folded`: one file per domain, with batch norms folded into the convolutions.

Every file takes `images`, uint8 (batch, 3, H, W), and has one output of logits per domain, float32
(batch, classes). If domains differ in resolution, it has an input per resolution, such as
`images_64`. The batch size is free. Normalisation is inside. Files have no paths of the
machine that wrote them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mpnas_kit.deploy.form import folded, scaled
from mpnas_kit.deploy.metadata import metadata_of, optional, quiet
from mpnas_kit.deploy.onnx_graph import finish, name_batch, store_once
from mpnas_kit.deploy.session import input_names
from mpnas_kit.domains.signature import Signature
from mpnas_kit.errors import MpnasError, one_line

OPSET = 20


class _Joint(nn.Module):
    """Several networks in one.

    networks: network of every domain.
    positions: position of every network's input among the inputs.
    """

    def __init__(self, networks: Mapping[str, nn.Module], positions: Sequence[int]) -> None:
        super().__init__()
        self._positions = tuple(positions)
        for domain, network in networks.items():
            self.add_module(f"of_{domain}", network)

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        pairs = zip(self.children(), self._positions, strict=True)
        return tuple(network(inputs[position]) for network, position in pairs)


def onnx_content(
    forms: Mapping[str, nn.Sequential],
    signatures: Mapping[str, Signature],
    folds: bool,
    license: str,
) -> bytes:
    """Return the networks of domains as one ONNX file.

    forms: deploy form of every domain.
    signatures: images and classes of every domain.
    folds: whether batch norms are folded into convolutions (`onnx-folded`), or domains share
    weights (`onnx`).
    license: note on the licence of the weights, for the metadata.

    Raises `MpnasError` if a package is missing or a block cannot be exported.
    """
    outputs = {d: f"logits_{d}" for d in forms}
    prepare, format = (folded, "onnx-folded") if folds else (scaled, "onnx")
    own = {d: signatures[d] for d in forms}
    inputs = input_names({d: signature.resolution for d, signature in own.items()})
    names = {inputs[d]: signature.resolution for d, signature in own.items()}
    positions = [list(names).index(inputs[d]) for d in forms]
    joint = _Joint({d: prepare(form) for d, form in forms.items()}, positions).eval()
    examples = tuple(torch.zeros(2, 3, n, n, dtype=torch.uint8) for n in names.values())
    what = f"the network of {', '.join(forms)}"
    model = translated(joint, examples, list(names), list(outputs.values()), what)
    store_once(model)
    finish(model, metadata_of(own, outputs, format, license))  # type: ignore[arg-type]
    name_batch(model)
    content: bytes = model.SerializeToString()
    return content


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
    onnx, _ = optional("onnx", "onnx", "onnxscript")
    batch = torch.export.Dim("batch", min=1)
    try:
        with quiet(), torch.no_grad():
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
        raise refused(what, "ONNX", error) from None
    return model


def refused(what: str, to: str, error: Exception) -> MpnasError:
    """Return the error for a network that an exporter does not take.

    what: what it is.
    to: name of the format.
    error: error of the exporter.
    """
    words = re.sub(r"\s+", " ", one_line(error.__cause__ or error))
    words = words.split("! For more")[0][:200]
    return MpnasError(
        f"{what} cannot be exported to {to} ({words}): expected blocks that torch.export supports, "
        "for any batch size."
    )
