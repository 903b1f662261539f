"""ONNX with int8 weights and activations: static quantization by onnxruntime, and its price.

The scheme is QDQ, signed weights and activations (S8S8), weights per output channel. Unsigned
activations (U8S8) overflow on CPUs without int8 instructions.
"""

import itertools
import pathlib
import statistics
import tempfile
import time

import torch
from torch import Tensor, nn

from mpnas_kit import files
from mpnas_kit.deploy.formats import BATCHES
from mpnas_kit.deploy.metadata import FORMAT, optional, quiet
from mpnas_kit.deploy.onnx_graph import finish
from mpnas_kit.deploy.session import INPUT
from mpnas_kit.errors import MpnasError, one_line

LEAST, MOST = 32, 512  # images that the ranges of activations come from
TURNS = 15  # measurements of a latency, of which the median counts


def require_enough(images: Tensor, domain: str) -> None:
    """Raise `MpnasError` if there are too few images of a domain for `int8_content`."""
    if len(images) < LEAST:
        raise MpnasError(
            f"domain {domain!r}: int8 needs at least {LEAST} training images, from which the "
            f"ranges of activations come (better 100 to {MOST}), but {len(images)} are given."
        )


def int8_content(content: bytes, images: Tensor, domain: str) -> bytes:
    """Return a file of the format `onnx-folded` with int8 weights and activations.

    content: the file.
    images: training images of the domain, uint8 (n, 3, H, W), which give the ranges of activations.
    domain: name of the domain, for an error.

    Raises `MpnasError` if onnxruntime cannot quantize the network.
    """
    onnx, tools = optional("onnx", "onnx", "onnxruntime.quantization")
    float_model = onnx.load_from_string(content)
    metadata = {entry.key: entry.value for entry in float_model.metadata_props}
    batches = ({INPUT: part.numpy()} for part in images.contiguous().split(16))

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def get_next(self) -> dict[str, object] | None:
            return next(batches, None)

    try:
        with quiet(), tempfile.TemporaryDirectory() as folder:
            target = pathlib.Path(folder) / "int8.onnx"
            tools.quantize_static(
                onnx.shape_inference.infer_shapes(float_model),
                str(target),
                Reader(),
                quant_format=tools.QuantFormat.QDQ,
                per_channel=True,
                activation_type=tools.QuantType.QInt8,
                weight_type=tools.QuantType.QInt8,
            )
            model = onnx.load_from_string(files.read_bytes(target))
    except MpnasError:  # of the temporary file
        raise
    except Exception as error:  # of the quantizer
        raise MpnasError(
            f"domain {domain!r}: onnxruntime cannot quantize the network "
            f"({one_line(error)[:160]}): use the format 'onnx-folded'."
        ) from None
    finish(model, {**metadata, FORMAT: "onnx-int8"})
    done: bytes = model.SerializeToString()
    return done


def agreement(one: nn.Module, other: nn.Module, images: Tensor) -> float:
    """Return the share of images that two networks give the same most probable class.

    images: uint8 (n, 3, H, W), at least one.
    """
    same = [(one(part).argmax(1) == other(part).argmax(1)).sum() for part in images.split(64)]
    return float(sum(same)) / len(images)


def latencies(
    before: nn.Module, after: nn.Module, images: Tensor
) -> dict[int, tuple[float, float]]:
    """Return median wall times of a call of two networks in milliseconds, by images per call.

    The networks are measured in turn.

    images: uint8 (n, 3, H, W), at least one. They are repeated if a batch needs more.
    """
    found = {}
    for count in BATCHES:
        index = torch.tensor(list(itertools.islice(itertools.cycle(range(len(images))), count)))
        pixels = images[index].contiguous()
        times: tuple[list[float], list[float]] = [], []
        for _ in range(TURNS):
            for network, own in zip((before, after), times, strict=True):
                began = time.perf_counter()
                network(pixels)
                own.append(1000 * (time.perf_counter() - began))
        found[count] = (statistics.median(times[0]), statistics.median(times[1]))
    return found
