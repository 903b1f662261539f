"""Search networks without the kit: in plain torch, and with nni. `engine.py` measures them.

Both have the blocks, widths and strides of a `LayerwiseSpace` and one head per domain. Candidates
share no weights, and a batch norm has one scale and shift for all domains. So a path has the same
arithmetic as in the kit, and an optimiser step has fewer parameters.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ratios import Unavailable
from torch import Tensor, nn

from mpnas_kit.domains.task import Task
from mpnas_kit.space.block import Block
from mpnas_kit.space.blocks import Conv, InvertedBottleneck
from mpnas_kit.space.elastic import round8
from mpnas_kit.space.layers import Path
from mpnas_kit.space.layerwise import LayerwiseSpace

ACTIVATIONS = {"relu": nn.ReLU, "hardswish": nn.Hardswish, "identity": nn.Identity}


class Gate(nn.Module):
    """Squeeze-and-excite."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = round8(channels / 4)
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, narrow, 1),
            nn.ReLU(),
            nn.Conv2d(narrow, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with every channel multiplied by a gate."""
        return x * self.layers(x)


class Residual(nn.Sequential):
    """Modules one after another, and their input added to the output."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the input plus the output of the modules."""
        return x + super().forward(x)


def plain_block(block: Block | None, width: int, out: int, stride: int) -> nn.Module:
    """Return the module of a block in plain torch.

    width, out: channels of input and output.

    Raises `Unavailable` if the block is neither a `Conv` nor an `InvertedBottleneck`.
    """
    if block is None:
        return nn.Identity()
    if isinstance(block, Conv):
        return _convolution(width, out, block.kernel, stride, 1, block.activation)
    if not isinstance(block, InvertedBottleneck):
        raise Unavailable(f"there is no plain form of block {block.name!r}")
    hidden = block.hidden or block.expansion * width
    modules = [
        _convolution(hidden, hidden, block.kernel, stride, hidden, block.activation),
        *([Gate(hidden)] if block.se else []),
        _convolution(hidden, out, 1, 1, 1, "identity"),
    ]
    if hidden != width:
        modules.insert(0, _convolution(width, hidden, 1, 1, 1, block.activation))
    return (Residual if stride == 1 and width == out else nn.Sequential)(*modules)


def _convolution(
    width: int, out: int, kernel: int, stride: int, groups: int, activation: str
) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(width, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out, track_running_stats=False),
        ACTIVATIONS[activation](),
    )


def candidates(space: LayerwiseSpace) -> list[dict[str, nn.Module]]:
    """Return the modules of every layer of a space in plain torch, by name of the choice."""
    widths = [3, *(layer.widths[0] for layer in space.layers)]
    return [
        {
            name: plain_block(block, width, layer.widths[0], layer.stride)
            for name, block in zip(layer.choices, layer.candidates, strict=True)
        }
        for width, layer in zip(widths, space.layers, strict=False)
    ]


def heads(space: LayerwiseSpace, tasks: Mapping[str, Task]) -> nn.ModuleDict:
    """Return one classifier per domain."""
    width = space.layers[-1].widths[0]
    return nn.ModuleDict({f"of_{d}": nn.Linear(width, task.outputs) for d, task in tasks.items()})


class PlainNet(nn.Module):
    """A search network in plain torch: one module per candidate of every layer."""

    def __init__(self, space: LayerwiseSpace, tasks: Mapping[str, Task]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleDict(layer) for layer in candidates(space))
        self.heads = heads(space, tasks)

    def forward(self, domain: str, x: Tensor, path: Path) -> Tensor:
        """Return logits (B, classes) for images (B, 3, H, W)."""
        words = iter(path.arch.split())
        for layer in self.layers:
            x = layer[next(words) if len(layer) > 1 else next(iter(layer))](x)
        return self.heads[f"of_{domain}"](x.mean((2, 3)))


def nni_net(space: LayerwiseSpace, tasks: Mapping[str, Task]) -> nn.Module:
    """Return a one-shot supernet of nni with the forward pass of `PlainNet`.

    Each searched layer is a `LayerChoice`, and the strategy `RandomOneShot` makes it a layer that
    computes the sampled candidate.

    Raises `Unavailable` if nni is missing.
    """
    try:
        from nni.nas.nn.pytorch import LayerChoice, ModelSpace
        from nni.nas.strategy import RandomOneShot
    except ImportError as error:
        raise Unavailable(
            f"the line nni needs a Python with nni ({error}); docs/engine.md says how"
        ) from None

    class Net(ModelSpace):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            layers = [
                LayerChoice(layer, label=f"layer{i}") if len(layer) > 1 else layer
                for i, layer in enumerate(candidates(space))
            ]
            self.layers = nn.Sequential(
                *(x if isinstance(x, LayerChoice) else next(iter(x.values())) for x in layers)
            )
            self.heads = heads(space, tasks)

        def forward(self, domain: str, x: Tensor, path: Path) -> Tensor:
            searched = [layer for layer in self.layers if hasattr(layer, "resample")]
            for layer, choice in zip(searched, path.arch.split(), strict=True):
                layer.resample(memo={layer.label: choice})
            return self.heads[f"of_{domain}"](self.layers(x).mean((2, 3)))

    net: nn.Module = RandomOneShot().mutate_model(Net())
    return net


class JacobianMean:
    """Backward pass with torchjd: the Jacobian of all losses, then the mean of its rows.

    The mean is the cheapest of torchjd's aggregators.

    net: network whose parameters get the gradients.
    """

    def __init__(self, net: nn.Module) -> None:
        from torchjd import aggregation, autojac

        self.net, self.autojac, self.mean = net, autojac, aggregation.Mean()

    def __call__(self, losses: Iterable[Tensor]) -> None:
        """Compute the gradients of these losses."""
        self.autojac.backward(list(losses))
        used: list[Any] = [p for p in self.net.parameters() if getattr(p, "jac", None) is not None]
        self.autojac.jac_to_grad(used, self.mean)
