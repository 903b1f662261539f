"""Stages on a GPU: no operation that torch refuses there, and none that waits for the device.

No GPU is needed. The operations are recorded on the CPU and on torch's meta device.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import mpnas_kit as mk
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.runtime import require_same_products
from mpnas_kit.network import norms
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.space.spaces import pocket_space

# What torch's documentation says to raise on CUDA -> operations of ATen
REFUSED: dict[str, tuple[str, ...]] = {
    "torch.nn.AvgPool3d": ("avg_pool3d_backward",),
    "torch.nn.AdaptiveAvgPool2d": ("_adaptive_avg_pool2d_backward",),
    "torch.nn.AdaptiveAvgPool3d": ("_adaptive_avg_pool3d_backward",),
    "torch.nn.AdaptiveMaxPool2d": ("adaptive_max_pool2d_backward",),
    "torch.nn.FractionalMaxPool2d": ("fractional_max_pool2d_backward",),
    "torch.nn.FractionalMaxPool3d": ("fractional_max_pool3d_backward",),
    "torch.nn.MaxUnpool1d": ("max_unpool2d",),
    "torch.nn.MaxUnpool2d": ("max_unpool2d",),
    "torch.nn.MaxUnpool3d": ("max_unpool3d",),
    "torch.nn.functional.interpolate": (
        "upsample_linear1d_backward",
        "upsample_bilinear2d_backward",
        "_upsample_bilinear2d_aa_backward",
        "upsample_bicubic2d_backward",
        "_upsample_bicubic2d_aa_backward",
        "upsample_trilinear3d_backward",
    ),
    "torch.nn.ReflectionPad1d": ("reflection_pad1d_backward",),
    "torch.nn.ReflectionPad2d": ("reflection_pad2d_backward",),
    "torch.nn.ReflectionPad3d": ("reflection_pad3d_backward",),
    "torch.nn.NLLLoss": ("nll_loss2d_forward", "nll_loss2d_backward"),  # of maps only
    "torch.nn.CTCLoss": ("_ctc_loss_backward", "_cudnn_ctc_loss"),
    "torch.nn.EmbeddingBag": ("_embedding_bag_dense_backward",),
    "torch.Tensor.put_": ("put_", "put"),
    "torch.histc": ("histc",),
    "torch.bincount": ("bincount",),  # with weights only
    "torch.median": ("median.dim", "nanmedian.dim"),
    "torch.nn.functional.grid_sample": ("grid_sampler_2d_backward", "grid_sampler_3d_backward"),
    "torch.cumsum": ("cumsum", "cumsum_"),  # of fractions only
    "torch.Tensor.scatter_reduce": ("scatter_reduce.two", "scatter_reduce_.two"),
    "torch.Tensor.resize_": (),  # of quantized tensors only
}
NAMES = {name for names in REFUSED.values() for name in names}
CLASSES = {"a": 3, "b": 4}


class Record(TorchDispatchMode):
    """Names of all operations, with the devices of their tensors, and those that CUDA refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, frozenset[str]]] = []
        self.refused: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [x for x in tree_leaves((args, kwargs or {})) if isinstance(x, Tensor)]
        name = func._schema.name.removeprefix("aten::")
        self.calls.append((name, frozenset(x.device.type for x in tensors)))
        harmless = (name == "bincount" and len(tensors) == 1) or (
            name.startswith("cumsum") and not tensors[0].is_floating_point()
        )
        if {name, f"{name}.{func._overloadname}"} & NAMES and not harmless:
            self.refused.add(name)
        return func(*args, **(kwargs or {}))


def documented() -> Iterator[str]:
    """What torch's documentation says to raise a `RuntimeError` in deterministic mode."""
    text = str(torch.use_deterministic_algorithms.__doc__)
    begin = text.index("operations will throw a")
    for found in re.finditer(r"\* :\w+:`([\w.]+)`", text[begin : text.index("In addition", begin)]):
        yield found[1]


def test_the_list_of_refused_operations_is_that_of_this_release_of_torch() -> None:
    assert set(documented()) == set(REFUSED)


def test_the_record_notices_a_refused_operation() -> None:
    x = torch.rand(1, 1, 4, 4, requires_grad=True)
    with Record() as record:
        torch.nn.functional.adaptive_avg_pool2d(x, 2).sum().backward()
        torch.cumsum(x, 0)
        torch.bincount(torch.tensor([0, 1]))
    assert record.refused == {"_adaptive_avg_pool2d_backward", "cumsum"}


@pytest.mark.parametrize("norm", ["per_domain", "mixed", "naive"])
def test_no_stage_calls_an_operation_that_cuda_refuses(
    monkeypatch: pytest.MonkeyPatch, norm: norms.Norm
) -> None:
    monkeypatch.setattr(norms, "LOOPED", ())
    suite, space = tiny.suite(), tiny.space()
    with Record() as record:
        found = mk.search(suite, space, tiny.search_config(norm=norm, collapse=True))
        config = tiny.train_config(norm=norm, evaluate_every=3)
        mk.train(suite, space, found.paths, config)
    assert {"convolution_backward", "nll_loss_backward"} <= {name for name, _ in record.calls}
    assert record.refused == set()


@pytest.mark.parametrize("sizes", [(4, 4), (4, 3)])
@pytest.mark.parametrize("kind", ["supernet", "union"])
def test_a_pass_is_the_same_calls_every_time_and_none_waits_for_the_device(
    kind: str, sizes: tuple[int, int]
) -> None:
    """A copy from or to the device would wait for it, and could not be part of a CUDA graph."""
    space = pocket_space()
    path = space.parse("k5e2 k3e2se k7e2 zero k5e4 k3e2 k3e2se k5e4 k5e2 k3e1")
    paths = {"a": path, "b": space.parse(" ".join(["k3e1"] * 10))}
    if kind == "supernet":
        net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", seed=0, collapse=True)
    else:
        net = MultiPathNet.of_paths(space, paths, tiny.tasks(CLASSES), "per_domain", seed=0)
    net.to("meta")
    flows = [
        Flow(d, torch.empty(size, 3, 32, 32, device="meta"), paths[d])
        for d, size in zip(paths, sizes, strict=True)
    ]

    def calls() -> list[tuple[str, frozenset[str]]]:
        with Record() as record:
            torch.stack([x.sum() for x in net(flows)]).sum().backward()
        return record.calls

    calls()  # segments of new sizes are copied to the device once
    net.zero_grad(set_to_none=True)
    second = calls()
    net.zero_grad(set_to_none=True)
    assert calls() == second
    assert {device for _, devices in second for device in devices} == {"meta"}
    assert not {"_local_scalar_dense", "nonzero", "is_nonzero"} & {name for name, _ in second}


# Matrix products ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(None, ":4096:8"), (":16:8", ":16:8")])
def test_cublas_gets_a_fixed_workspace_unless_the_user_sets_one(
    before: str | None, after: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "CUBLAS_WORKSPACE_CONFIG"}
    if before is not None:
        environment["CUBLAS_WORKSPACE_CONFIG"] = before
    code = "import mpnas_kit, os; print(os.environ['CUBLAS_WORKSPACE_CONFIG'])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == after


def test_a_stage_refuses_a_device_whose_products_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    def differing(*factors: Tensor) -> Tensor:
        assert torch.are_deterministic_algorithms_enabled()
        raise RuntimeError(
            "this operation is not deterministic because it uses CuBLAS: you must set an "
            "environment variable CUBLAS_WORKSPACE_CONFIG=:4096:8 or CUBLAS_WORKSPACE_CONFIG=:16:8."
        )

    require_same_products(torch.device("cpu"))
    monkeypatch.setattr(torch, "mm", differing)
    with pytest.raises(mk.MpnasError, match="would compute other numbers .* import of mpnas_kit"):
        Compute.of("cpu", "float32", 1, "per_domain", 2, "eager")
    assert not torch.are_deterministic_algorithms_enabled()
