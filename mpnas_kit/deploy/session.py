"""Exported ONNX files: how they are read, and how onnxruntime runs them."""

import hashlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from mpnas_kit.deploy.metadata import CHECKSUM, DOMAINS, Exported, optional, read_domains
from mpnas_kit.errors import MpnasError, one_line

INPUT = "images"  # name of the input of a file whose domains have one resolution


def input_names(sizes: Mapping[str, int]) -> dict[str, str]:
    """Return the name of every domain's input in a file, by domain: one input per resolution.

    sizes: height and width of the images of every domain in the file, by domain, in pixels.

    >>> input_names({"pets": 64, "signs": 32})
    {'pets': 'images_64', 'signs': 'images_32'}
    """
    if len(set(sizes.values())) == 1:
        return dict.fromkeys(sizes, INPUT)
    return {domain: f"{INPUT}_{size}" for domain, size in sizes.items()}


def read_onnx(content: bytes, where: object, threads: int | None = None) -> Exported:
    """Return an ONNX file that `mpnas export` wrote.

    onnxruntime computes all outputs of a file. So the part of the file that a domain needs is cut
    out before its network is made.

    content: the file.
    where: its path, for an error.
    threads: threads of onnxruntime; None: those of torch.

    Raises `MpnasError` if it is no such file or damaged, or its weights are in other files.
    """
    (onnx,) = optional("onnx", "onnx")
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # of the parser
        raise MpnasError(
            f"{where} is no ONNX file and no ExecuTorch file ({one_line(error)[:120]})."
        ) from None
    if any(tensor.external_data for tensor in _tensors(model)):
        raise MpnasError(f"{where} has its weights in other files: expected one whole file.")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    found = {output.name for output in model.graph.output}
    signatures, outputs = read_domains(metadata.get(DOMAINS), found, where)
    inputs = input_names({domain: s.resolution for domain, s in signatures.items()})
    if set(inputs.values()) != {value.name for value in model.graph.input}:
        raise MpnasError(f"{where} is damaged: it has other inputs than its metadata says.")
    if metadata.get(CHECKSUM) not in (None, checksum_of(model)):
        raise MpnasError(f"{where} is damaged: its checksum does not fit. Export it again.")

    def network(domain: str) -> nn.Module:
        given, output = inputs[domain], outputs[domain]
        part = content if len(outputs) == 1 else cut_out(content, output, given)
        return OnnxNetwork(part, output, threads, given)

    return Exported(signatures, outputs, network)


def checksum_of(model: Any) -> str:
    """Return the SHA-256 checksum of a model's weights, and of what is recorded of its domains.

    onnxruntime computes with damaged weights as if nothing had happened. Files of releases before
    this one have no checksum.
    """
    digest = hashlib.sha256()
    for entry in model.metadata_props:
        if entry.key == DOMAINS:
            digest.update(entry.value.encode("utf-8", "replace"))
    for tensor in _tensors(model):
        digest.update(tensor.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _tensors(model: Any) -> list[Any]:
    """Return the weights of a file, also those in attributes and functions."""
    graphs, tensors = [model.graph], []
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            tensors += list(graph.initializer)
            nodes += list(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            tensors += [attribute.t, *attribute.tensors]
            graphs += [g for g in (attribute.g, *attribute.graphs) if g.node or g.initializer]
    return tensors


def cut_out(content: bytes, output: str, given: str = INPUT) -> bytes:
    """Return the part of a file that one of its outputs needs, as a file of its own.

    given: name of the input that the output depends on.
    """
    onnx, _ = optional("onnx", "onnx", "onnx.utils")
    extractor = onnx.utils.Extractor(onnx.load_from_string(content))
    part: bytes = extractor.extract_model([given], [output]).SerializeToString()
    return part


class OnnxNetwork(nn.Module):
    """The network of a domain in an exported file, run by onnxruntime on the CPU.

    content: the file.
    output: name of the output.
    threads: threads of onnxruntime; None: those of torch.
    given: name of the input.

    Raises `MpnasError` if onnxruntime refuses the file.
    """

    def __init__(
        self, content: bytes, output: str, threads: int | None = None, given: str = INPUT
    ) -> None:
        super().__init__()
        self._output, self._input = output, given
        self._session = start_session(content, threads)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits float32 (B, classes).

        pixels: (B, 3, H, W), uint8 0 to 255, or float 0 to 1, which is rounded to 256 levels.
        """
        (logits,) = self._session.run([self._output], {self._input: levels(pixels).numpy()})
        return torch.from_numpy(logits)


def levels(pixels: Tensor) -> Tensor:
    """Return pixels as contiguous uint8 on the CPU. Floats 0 to 1 are rounded to 256 levels."""
    if pixels.dtype != torch.uint8:
        pixels = (pixels.float() * 255).round().to(torch.uint8)
    return pixels.cpu().contiguous()


def start_session(content: bytes, threads: int | None = None) -> Any:
    """Return an onnxruntime session on the CPU. Raises `MpnasError` if it refuses the file.

    content: the file.
    threads: number of threads; None: that of torch.
    """
    runtime: ModuleType
    (runtime,) = optional("onnx", "onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads() if threads is None else threads
    options.log_severity_level = 3  # errors only
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of the runtime
        raise MpnasError(f"onnxruntime refuses the file ({one_line(error)[:160]}).") from None
