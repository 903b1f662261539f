"""The deploy form: a domain's path as a plain torch module, from which every export is made.

The network of a training serves all domains, and computes with slices of shared tensors. The deploy
form of one domain has copies of what its path uses, in `nn.Conv2d`, `nn.BatchNorm2d`, activations,
global pooling and `nn.Linear`, one after another in `nn.Sequential`. It is contiguous (NCHW), and
its batch size is free. Its outputs equal those of the network to about 1e-6.

The pre-processing is its first module, so it takes pixels. A block that the kit does not know is
taken over as it is, with its batch norms for the one domain.
"""

import copy
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mpnas_kit.domains.signature import Signature
from mpnas_kit.errors import MpnasError, one_line, unknown
from mpnas_kit.network.building import owned
from mpnas_kit.network.defaults import cpu_by_default, plain_torch
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.network.norms import DomainNorm, Segments
from mpnas_kit.space.block import build_block
from mpnas_kit.space.blocks import Conv, InvertedBottleneck, PooledConv, SeparableConv
from mpnas_kit.space.elastic import ElasticConv, round8
from mpnas_kit.space.layers import Path, Use


class Preprocess(nn.Module):
    """Pixels to network input: (x - mean) / deviation, where a uint8 value of 255 counts as 1.

    signature: images that the domain's network takes.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        standard = signature.standard
        self.register_buffer("mean", standard.mean)
        self.register_buffer("deviation", standard.deviation)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return network input, float32 (B, 3, H, W).

        pixels: (B, 3, H, W), uint8 0 to 255, or float 0 to 1.
        """
        scaled = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
        return (scaled - self.mean) / self.deviation


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


class Gate(nn.Module):
    """Squeeze-and-excite: (B, C, H, W) -> the same, each channel times a gate in [0, 1].

    reduce, expand: 1x1 convolutions of the pooled map.
    """

    def __init__(self, reduce: nn.Conv2d, expand: nn.Conv2d) -> None:
        super().__init__()
        pool = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Sequential(pool, reduce, nn.ReLU(), expand, nn.Hardsigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated map."""
        gated: Tensor = x * self.gate(x)
        return gated


class Residual(nn.Module):
    """A body whose input is added to its output.

    body: module that keeps the shape of its input.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` plus the output of the body."""
        added: Tensor = x + self.body(x)
        return added


class NarrowNorm(nn.Module):
    """A batch norm in a block of your own, for maps with at most its channels.

    norm: batch norm of the largest number of channels.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (B, C, H, W) normalised with the first C channels of the norm."""
        norm, width = self.norm, x.shape[1]
        assert norm.running_mean is not None and norm.running_var is not None
        mean, var = norm.running_mean[:width], norm.running_var[:width]
        return nn.functional.batch_norm(
            x, mean, var, norm.weight[:width], norm.bias[:width], eps=norm.eps
        )


class Own(nn.Module):
    """The module of a block of your own, at a fixed width.

    module: the block's module, with its batch norms for one domain.
    out_channels: second argument of its `forward`; None: it takes one argument.
    """

    def __init__(self, module: nn.Module, out_channels: int | None) -> None:
        super().__init__()
        self.module, self.out_channels = module, out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        more = () if self.out_channels is None else (self.out_channels,)
        y: Tensor = self.module(x, *more)
        return y


def deploy_form(net: MultiPathNet, domain: str, path: Path, signature: Signature) -> nn.Sequential:
    """Return the deploy form of a domain's path, in evaluation mode, on the CPU.

    Its children are `pixels` (the pre-processing), one module per layer that the path does not
    skip, `pool` and `classifier`. It maps pixels (B, 3, H, W), uint8 0 to 255 or float 0 to 1, to
    logits float32 (B, classes). The network does not change.

    net: trained network.
    domain: name of a domain of the network.
    path: its path.
    signature: its images and classes.

    Raises `MpnasError` if the domain or a node is not in the network, or the network has no
    batch-norm statistics.

    >>> path, signature = trained.paths["planted0"], mk.Signature.of(suite["planted0"])
    >>> form = deploy_form(trained.net, "planted0", path, signature)
    >>> tuple(form(torch.zeros(5, 3, 16, 16, dtype=torch.uint8)).shape)
    (5, 16)
    """
    if domain not in net.tasks:
        raise unknown("domain of this network", domain, net.tasks)
    form = nn.Sequential()
    form.add_module("pixels", Preprocess(signature))
    for layer, use in zip(net.space.layers, net.space.of(domain).uses(path), strict=True):
        if use is not None:
            module = net.module_of(owned(use.node, domain, net.private))
            elastic = use.out_channels if len(layer.widths) > 1 else None
            form.add_module(f"layer{use.node.layer}", _deployed(module, use, domain, elastic))
    form.add_module("pool", global_pooling())
    form.add_module("classifier", copy.deepcopy(net.head_of(domain)))
    return form.cpu().eval().requires_grad_(False)


def block_form(use: Use) -> nn.Module:
    """Return the deploy form of one block with random weights, in evaluation mode, on the CPU.

    It does the same work as a trained one: (B, in, H, W) -> (B, out, ceil(H / stride), ...).

    use: the block, and the widths and stride that it is used with.
    """
    domain = "any"
    norm = partial(
        DomainNorm, domains=(domain,), norm="per_domain", segments=Segments(), tracked=True
    )
    sizes = (use.in_channels, use.out_channels, use.stride)
    with plain_torch(), cpu_by_default(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build_block(use.block, *sizes, norm)
        for part in module.modules():
            if isinstance(part, nn.Conv2d):  # else values shrink with depth until they are slow
                nn.init.kaiming_normal_(part.weight)
        return _deployed(module, use, domain, None).eval().requires_grad_(False)


def global_pooling() -> nn.Sequential:
    """Return global average pooling: (B, C, H, W) -> (B, C)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


def _deployed(module: nn.Module, use: Use, domain: str, elastic: int | None) -> nn.Module:
    """Return the deploy form of a block's module.

    elastic: output width that a block of your own is given; None: it is given none.
    """
    plain = _PLAIN.get(type(use.block))
    return _own(module, domain, elastic) if plain is None else plain(module, use, domain)


def _norm(module: nn.Module, name: str, domain: str, channels: int) -> nn.BatchNorm2d:
    norm = module.get_submodule(name)
    assert isinstance(norm, DomainNorm)
    return norm.plain(domain, channels)


def _conv(module: nn.Module, name: str, in_channels: int, out_channels: int) -> nn.Conv2d:
    convolution = module.get_submodule(name)
    assert isinstance(convolution, ElasticConv)
    return convolution.plain(in_channels, out_channels)


def _padded_conv(
    module: nn.Module, name: str, in_channels: int, out_channels: int, size: int
) -> list[nn.Module]:
    """Return a convolution of a map of this size, after its padding if that is not symmetric."""
    own, convolution = module.get_submodule(name), _conv(module, name, in_channels, out_channels)
    assert isinstance(own, ElasticConv)
    zeros = own.zeros(size)
    if zeros == (own.kernel_size[0] // 2,) * 2:
        return [convolution]
    convolution.padding = (0, 0)
    return [nn.ZeroPad2d(2 * zeros), convolution]


def _activation(module: nn.Module) -> nn.Module:
    return type(module.get_submodule("act"))()


def _bottleneck(module: nn.Module, use: Use, domain: str) -> nn.Module:
    block = use.block
    if isinstance(block, SeparableConv):
        block = InvertedBottleneck(block.kernel, 1, activation=block.activation)
    assert isinstance(block, InvertedBottleneck)
    hidden = use.in_channels
    parts: list[nn.Module] = []
    if getattr(module, "expand", None) is not None:
        hidden = block.hidden_channels(use.in_channels)
        parts = [
            _conv(module, "expand", use.in_channels, hidden),
            _norm(module, "expand_norm", domain, hidden),
            _activation(module),
        ]
    parts += [
        *_padded_conv(module, "depthwise", hidden, hidden, use.size),
        _norm(module, "depthwise_norm", domain, hidden),
        _activation(module),
    ]
    if block.se:
        gate = module.get_submodule("se")
        squeezed = round8(hidden / 4)
        parts.append(
            Gate(_conv(gate, "reduce", hidden, squeezed), _conv(gate, "expand", squeezed, hidden))
        )
    parts += [
        _conv(module, "project", hidden, use.out_channels),
        _norm(module, "project_norm", domain, use.out_channels),
    ]
    body = nn.Sequential(*parts)
    added = use.stride == 1 and use.in_channels == use.out_channels
    return Residual(body) if added else body


def _normalised(module: nn.Module, use: Use, domain: str) -> nn.Module:
    return nn.Sequential(
        *_padded_conv(module, "convolution", use.in_channels, use.out_channels, use.size),
        _norm(module, "norm", domain, use.out_channels),
        _activation(module),
    )


def _pooled(module: nn.Module, use: Use, domain: str) -> nn.Module:
    convolution = _conv(module, "convolution", use.in_channels, use.out_channels)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), convolution, nn.Hardswish())


_PLAIN: dict[type, Callable[[nn.Module, Use, str], nn.Module]] = {
    InvertedBottleneck: _bottleneck,
    SeparableConv: _bottleneck,
    Conv: _normalised,
    PooledConv: _pooled,
}


def _own(module: nn.Module, domain: str, out_channels: int | None) -> nn.Module:
    """Return a copy of a block's own module, with the batch norms of one domain."""
    norms = {m for m in module.modules() if isinstance(m, DomainNorm)}
    plain = {id(n): NarrowNorm(n.plain(domain)) for n in norms}
    try:
        return Own(copy.deepcopy(module, plain), out_channels)
    except Exception as error:  # of the block's own code
        raise MpnasError(
            f"a module {type(module).__name__} cannot be copied ({one_line(error)}): expected a "
            "torch module that `copy.deepcopy` copies."
        ) from None


def folded(form: nn.Sequential) -> nn.Sequential:
    """Return a copy of a deploy form whose batch norms are folded into the convolutions before.

    Norms of your own blocks stay. The outputs are equal to about 1e-5.
    """
    copied = copy.deepcopy(form)
    for sequence in list(_sequences(copied)):
        parts = list(sequence)
        for index in range(len(parts) - 1, 0, -1):
            before, norm = parts[index - 1], parts[index]
            if isinstance(before, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                parts[index - 1 : index + 1] = [fuse_conv_bn_eval(before, norm)]
        if len(parts) < len(sequence):
            del sequence[:]
            sequence.extend(parts)
    return copied.eval().requires_grad_(False)


def scaled(form: nn.Sequential) -> nn.Sequential:
    """Return a copy of a deploy form whose batch norms are scales and shifts.

    Domains that share convolutions then have equal ones. Norms of your own blocks stay.
    """
    form = copy.deepcopy(form)
    for parent in list(form.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and isinstance(parent, nn.Sequential):
                setattr(parent, name, ScaleShift(child))
    return form


def _sequences(module: nn.Module) -> Iterator[nn.Sequential]:
    """Yield the sequences of a deploy form, but not those inside blocks of your own."""
    if isinstance(module, Own):
        return
    if isinstance(module, nn.Sequential):
        yield module
    for child in module.children():
        yield from _sequences(child)
