"""What is changed in an ONNX model of torch's exporter before it is written."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import mpnas_kit
from mpnas_kit.deploy.metadata import CHECKSUM, optional
from mpnas_kit.deploy.session import checksum_of
from mpnas_kit.errors import MpnasError

LEAST_SLICE = 1024  # bytes: a smaller tensor costs less than a node that cuts it out


def finish(model: Any, metadata: Mapping[str, str]) -> None:
    """Replace what exporters note in a model by the metadata of the kit, and a checksum.

    Removed are stack traces, paths, and shapes and long names of inner values.

    metadata: text by key.
    """
    graph = model.graph
    del graph.value_info[:]
    graph.name = "mpnas"
    model.producer_name, model.producer_version = "mpnas_kit", mpnas_kit.__version__
    del model.metadata_props[:]
    for key, value in metadata.items():
        if key == CHECKSUM:  # of the file before it was quantized
            continue
        model.metadata_props.add(key=key, value=value)
    values = [*graph.input, *graph.output]
    inner = [part for function in model.functions for part in (function, *function.node)]
    for part in (model, graph, *graph.node, *graph.initializer, *values, *inner):
        part.ClearField("doc_string")
        if part is not model:
            del part.metadata_props[:]
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{index}"
    if not _has_branches(graph):
        _shorten_names(graph)
    model.metadata_props.add(key=CHECKSUM, value=checksum_of(model))


def _has_branches(graph: Any) -> bool:
    """Return whether a node has a graph inside, which may use any value of the outer graph."""
    return any(a.g.node or a.graphs for node in graph.node for a in node.attribute)


def _shorten_names(graph: Any) -> None:
    """Number the inner values. Their names would be up to a third of a small file."""
    outer = {value.name for value in (*graph.input, *graph.output)} | {""}
    names = {name: name for name in outer}

    def short(name: str) -> str:
        return names.setdefault(name, f"v{len(names)}")

    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [short(name) for name in values]


def store_once(model: Any) -> None:
    """Store equal tensors once, and tensors that are the first channels of others as slices."""
    onnx, numpy_helper = optional("onnx", "onnx", "onnx.numpy_helper")
    graph = model.graph
    if _has_branches(graph):
        return
    kept: dict[tuple[Any, ...], str] = {}
    names: dict[str, str] = {}  # of the tensor to use instead
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        key = (array.dtype.str, array.shape, array.tobytes())
        names[tensor.name] = kept.setdefault(key, tensor.name)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
    used = {name for node in graph.node for name in node.input}
    left = [t for t in graph.initializer if t.name in used]
    arrays = {t.name: numpy_helper.to_array(t) for t in left}
    large = sorted(arrays, key=lambda name: -arrays[name].size)
    slices: dict[str, str] = {}  # of the largest tensor that begins with it, so never of a slice
    for name in large:
        if arrays[name].nbytes > LEAST_SLICE:
            whole = next((w for w in large if _begins(arrays[w], arrays[name])), None)
            if whole is not None:
                slices[name] = whole
    del graph.initializer[:]
    graph.initializer.extend(t for t in left if t.name not in slices)
    for position, (name, whole) in enumerate(slices.items()):
        shape = arrays[name].shape
        values = {"from": [0] * len(shape), "to": shape, "axes": range(len(shape))}
        inputs = [f"slice{position}_{kind}" for kind in values]
        for given, value in zip(inputs, values.values(), strict=True):
            constant = numpy_helper.from_array(np.array(value, np.int64), given)
            graph.initializer.append(constant)
        node = onnx.helper.make_node("Slice", [whole, *inputs], [name], f"Slice_{position}")
        graph.node.insert(position, node)


def _begins(whole: Any, part: Any) -> bool:
    """Return whether an array is the first channels of a larger one."""
    return (
        whole.ndim == part.ndim
        and whole.size > part.size
        and whole.dtype == part.dtype
        and all(n <= m for n, m in zip(part.shape, whole.shape, strict=True))
        and np.array_equal(whole[tuple(slice(n) for n in part.shape)], part)
    )


def name_batch(model: Any) -> None:
    """Name the batch size. Raise `MpnasError` unless input and outputs have it free."""
    for value in (*model.graph.input, *model.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if not first.dim_param:
            raise MpnasError(
                f"the exported network has a fixed batch size in {value.name!r}: expected blocks "
                "whose `forward` takes any batch size."
            )
        first.dim_param = "batch"
