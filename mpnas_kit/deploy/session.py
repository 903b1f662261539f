"""Exported ONNX files: what they record, and how onnxruntime runs them."""

import importlib
import json
import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn

from mpnas_kit import files
from mpnas_kit.domains.signature import Signature
from mpnas_kit.engine.records import DomainInput
from mpnas_kit.errors import MpnasError, one_line

INPUT = "images"  # name of the input of every exported file
DOMAINS, VERSION, LAYOUT, LICENSE = (  # keys of the metadata of a file
    "mpnas_kit.domains",
    "mpnas_kit.version",
    "mpnas_kit.layout",
    "license",
)


class _Recorded(DomainInput, kw_only=True):
    """What a file records of a domain: its input, and classes and name of its output."""

    classes: Annotated[list[str], Meta(min_length=2)]
    output: str


@dataclass(frozen=True)
class Exported:
    """An exported file that was read.

    content: the file.
    signatures: images and classes of every domain, by name.
    outputs: name of every domain's output, by name of the domain.
    metadata: all metadata as text, by key.
    """

    content: bytes
    signatures: dict[str, Signature]
    outputs: dict[str, str]
    metadata: dict[str, str]


def optional(*names: str) -> list[Any]:
    """Return modules of the extra `onnx`. Raises `MpnasError` if one is not installed."""
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError:
        raise MpnasError(
            "ONNX files need packages that are not installed: pip install 'mpnas-kit[onnx]'."
        ) from None


def domain_metadata(signatures: Mapping[str, Signature], outputs: Mapping[str, str]) -> str:
    """Return the metadata of a file about its domains, as JSON text. `read_exported` reads it.

    signatures: images and classes of every domain.
    outputs: name of every domain's output.
    """
    content = {
        domain: {
            **signature.record(),
            "classes": list(signature.classes),
            "output": outputs[domain],
        }
        for domain, signature in signatures.items()
    }
    return json.dumps(content, ensure_ascii=False)


def read_exported(path: pathlib.Path) -> Exported:
    """Return an ONNX file that `mpnas export` wrote.

    Raises `MpnasError` if it cannot be read, is no such file, or its weights are in other files.
    """
    (onnx,) = optional("onnx")
    content = files.read_bytes(path)
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # of the parser
        raise MpnasError(f"{path} is no ONNX file ({one_line(error)[:120]}).") from None
    if any(tensor.external_data for tensor in _tensors(model)):
        raise MpnasError(f"{path} has its weights in other files: expected one whole file.")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if DOMAINS not in metadata:
        raise MpnasError(
            f"{path} was not written by `mpnas export`: its metadata has no {DOMAINS!r}."
        )
    where = f"{path}, metadata {DOMAINS!r}"
    recorded = files.parse_json(metadata[DOMAINS].encode(), dict[str, _Recorded], where)
    found = {output.name for output in model.graph.output}
    if not recorded or any(one.output not in found for one in recorded.values()):
        raise MpnasError(f"{path} is damaged: it has no output for a domain of its metadata.")
    signatures = {
        domain: Signature(
            tuple(one.classes),
            one.channels,
            one.resolution,
            tuple(one.mean),
            tuple(one.deviation),
            one.how,
        )
        for domain, one in recorded.items()
    }
    outputs = {domain: one.output for domain, one in recorded.items()}
    return Exported(content, signatures, outputs, metadata)


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


def networks(exported: Exported, threads: int | None = None) -> Callable[[str], nn.Module]:
    """Return a function of a domain's name that returns its network.

    onnxruntime computes all outputs of a file. So the part of the file that the domain needs is cut
    out first.

    threads: threads of onnxruntime; None: those of torch.
    """

    def network(domain: str) -> nn.Module:
        content, output = exported.content, exported.outputs[domain]
        if len(exported.outputs) > 1:
            content = cut_out(content, output)
        return OnnxNetwork(content, output, threads)

    return network


def cut_out(content: bytes, output: str) -> bytes:
    """Return the part of a file that one of its outputs needs, as a file of its own."""
    onnx, _ = optional("onnx", "onnx.utils")
    extractor = onnx.utils.Extractor(onnx.load_from_string(content))
    part: bytes = extractor.extract_model([INPUT], [output]).SerializeToString()
    return part


class OnnxNetwork(nn.Module):
    """The network of a domain in an exported file, run by onnxruntime on the CPU.

    content: the file.
    output: name of the output.
    threads: threads of onnxruntime; None: those of torch.

    Raises `MpnasError` if onnxruntime refuses the file.
    """

    def __init__(self, content: bytes, output: str, threads: int | None = None) -> None:
        super().__init__()
        self._output = output
        self._session = start_session(content, threads)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits float32 (B, classes).

        pixels: (B, 3, H, W), uint8 0 to 255, or float 0 to 1, which is rounded to 256 levels.
        """
        if pixels.dtype != torch.uint8:
            pixels = (pixels.float() * 255).round().to(torch.uint8)
        array = pixels.cpu().contiguous().numpy()
        (logits,) = self._session.run([self._output], {INPUT: array})
        return torch.from_numpy(logits)


def start_session(content: bytes, threads: int | None = None) -> Any:
    """Return an onnxruntime session on the CPU. Raises `MpnasError` if it refuses the file.

    content: the file.
    threads: number of threads; None: that of torch.
    """
    runtime: ModuleType
    (runtime,) = optional("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads() if threads is None else threads
    options.log_severity_level = 3  # errors only
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of the runtime
        raise MpnasError(f"onnxruntime refuses the file ({one_line(error)[:160]}).") from None
