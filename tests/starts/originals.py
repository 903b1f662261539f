"""The networks of other libraries in plain torch, with the names that those libraries use."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# kernel, hidden, width, squeeze-and-excite, hard-swish, stride
LARGE = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
SQUEEZED = {72: 24, 120: 32, 480: 120, 672: 168, 960: 240}  # a quarter, to a multiple of 8
LITE = (  # kernel, expansion, width, stride
    (3, 1, 16, 1),
    *((3, 6, 24, 2), (3, 6, 24, 1)),
    *((5, 6, 40, 2), (5, 6, 40, 1)),
    *((3, 6, 80, 2), (3, 6, 80, 1), (3, 6, 80, 1)),
    *((5, 6, 112, 1), (5, 6, 112, 1), (5, 6, 112, 1)),
    *((5, 6, 192, 2), (5, 6, 192, 1), (5, 6, 192, 1), (5, 6, 192, 1)),
    (3, 6, 320, 1),
)


def randomise(net: nn.Module, seed: int = 0) -> nn.Module:
    """Norms of a network get random scales, shifts and statistics; it is in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.weight, 0.5), (module.running_var, 0.5)):
                assert tensor is not None
                tensor.data = torch.rand(tensor.shape, generator=generator) + low
            for tensor in (module.bias, module.running_mean):
                assert tensor is not None
                tensor.data = torch.randn(tensor.shape, generator=generator) / 5
    return net.eval()


class SamePadded(nn.Conv2d):
    """A convolution with the padding of TensorFlow."""

    def forward(self, x: Tensor) -> Tensor:
        sides = []
        for size in (x.shape[3], x.shape[2]):
            steps = -(-size // self.stride[0])
            pad = max(0, (steps - 1) * self.stride[0] + self.kernel_size[0] - size)
            sides += [pad // 2, pad - pad // 2]
        return F.conv2d(F.pad(x, sides), self.weight, None, self.stride, 0, 1, self.groups)


def convolution(i: int, o: int, k: int, s: int, groups: int = 1, same: bool = False) -> nn.Conv2d:
    cls = SamePadded if same else nn.Conv2d
    return cls(i, o, k, s, 0 if same else k // 2, groups=groups, bias=False)


# torchvision --------------------------------------------------------------------------------------


def unit(i: int, o: int, k: int, s: int, groups: int, act: nn.Module | None) -> nn.Sequential:
    parts = [convolution(i, o, k, s, groups), nn.BatchNorm2d(o, eps=1e-3)]
    return nn.Sequential(*parts, *([] if act is None else [act]))


class TorchvisionSE(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, SQUEEZED[channels], 1)
        self.fc2 = nn.Conv2d(SQUEEZED[channels], channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


class TorchvisionBlock(nn.Module):
    def __init__(self, width: int, row: tuple[int, int, int, bool, bool, int]) -> None:
        super().__init__()
        kernel, hidden, out, se, swish, stride = row
        act = nn.Hardswish() if swish else nn.ReLU()
        parts: list[nn.Module] = []
        if hidden != width:
            parts.append(unit(width, hidden, 1, 1, 1, act))
        parts.append(unit(hidden, hidden, kernel, stride, hidden, act))
        if se:
            parts.append(TorchvisionSE(hidden))
        parts.append(unit(hidden, out, 1, 1, 1, None))
        self.block, self.adds = nn.Sequential(*parts), stride == 1 and width == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.adds else self.block(x)


class Torchvision(nn.Module):
    """MobileNetV3-Large as torchvision has it."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = [16, *(row[2] for row in LARGE)]
        blocks = [TorchvisionBlock(w, row) for w, row in zip(widths, LARGE, strict=False)]
        stem, last = (
            unit(*sizes, 1, nn.Hardswish()) for sizes in ((3, 16, 3, 2), (160, 960, 1, 1))
        )
        self.features = nn.Sequential(stem, *blocks, last)
        self.classifier = nn.Sequential(
            nn.Linear(960, 1280), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(1280, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


# timm ---------------------------------------------------------------------------------------------


class TimmSE(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, SQUEEZED[channels], 1)
        self.conv_expand = nn.Conv2d(SQUEEZED[channels], channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.conv_reduce(x.mean((2, 3), keepdim=True)))
        return x * F.hardsigmoid(self.conv_expand(inner))


class TimmBlock(nn.Module):
    def __init__(
        self, width: int, row: tuple[int, int, int, bool, bool, int], same: bool, eps: float
    ) -> None:
        super().__init__()
        kernel, hidden, out, se, swish, stride = row
        self.act = nn.Hardswish() if swish else nn.ReLU()
        self.expands, self.adds = hidden != width, stride == 1 and width == out
        dw = convolution(hidden, hidden, kernel, stride, hidden, same)
        if self.expands:
            self.conv_pw, self.bn1 = convolution(width, hidden, 1, 1), nn.BatchNorm2d(hidden, eps)
            self.conv_dw, self.bn2 = dw, nn.BatchNorm2d(hidden, eps)
            self.conv_pwl, self.bn3 = convolution(hidden, out, 1, 1), nn.BatchNorm2d(out, eps)
        else:
            self.conv_dw, self.bn1 = dw, nn.BatchNorm2d(hidden, eps)
            self.conv_pw, self.bn2 = convolution(hidden, out, 1, 1), nn.BatchNorm2d(out, eps)
        self.se = TimmSE(hidden) if se else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.expands:
            y = self.act(self.bn1(self.conv_pw(x)))
            y = self.bn3(self.conv_pwl(self.se(self.act(self.bn2(self.conv_dw(y))))))
        else:
            y = self.bn2(self.conv_pw(self.se(self.act(self.bn1(self.conv_dw(x))))))
        return x + y if self.adds else y


class Timm(nn.Module):
    """MobileNetV3-Large as timm has it. same: as its variants `tf_`."""

    def __init__(self, classes: int, same: bool = False) -> None:
        super().__init__()
        eps = 1e-3 if same else 1e-5
        widths = [16, *(row[2] for row in LARGE)]
        self.conv_stem = convolution(3, 16, 3, 2, same=same)
        self.bn1 = nn.BatchNorm2d(16, eps)
        blocks = [TimmBlock(w, row, same, eps) for w, row in zip(widths, LARGE, strict=False)]
        bounds = (0, 1, 3, 6, 10, 12, 15)
        stages = [nn.Sequential(*blocks[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]
        last = nn.Module()
        last.conv, last.bn1 = convolution(160, 960, 1, 1), nn.BatchNorm2d(960, eps)
        self.blocks = nn.Sequential(*stages, nn.Sequential(last))
        self.conv_head, self.classifier = nn.Conv2d(960, 1280, 1), nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.bn1(self.conv_stem(x)))
        *stages, (last,) = self.blocks
        for stage in stages:
            x = stage(x)
        x = F.hardswish(last.bn1(last.conv(x))).mean((2, 3), keepdim=True)
        return self.classifier(F.hardswish(self.conv_head(x)).flatten(1))


# EfficientNet-Lite0 -------------------------------------------------------------------------------


def lite0(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The logits of EfficientNet-Lite0 with these weights, one operation after the other."""

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = weights[f"{name}.weight"]
        kernel, size = weight.shape[-1], x.shape[-1]
        pad = max(0, (-(-size // stride) - 1) * stride + kernel - size)
        x = F.pad(x, [pad // 2, pad - pad // 2] * 2)
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        return F.conv2d(x, weight, None, stride, 0, 1, groups)

    def norm(x: Tensor, name: str) -> Tensor:
        own = (weights[f"{name}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *own, training=False, eps=1e-3)

    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    for i, (_, expansion, width, stride) in enumerate(LITE):
        block, y = f"_blocks.{i}", x
        if expansion > 1:
            y = F.relu6(norm(conv(y, f"{block}._expand_conv"), f"{block}._bn0"))
        y = F.relu6(norm(conv(y, f"{block}._depthwise_conv", stride), f"{block}._bn1"))
        y = norm(conv(y, f"{block}._project_conv"), f"{block}._bn2")
        x = x + y if stride == 1 and x.shape[1] == width else y
    x = F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
    return F.linear(x, weights["_fc.weight"], weights["_fc.bias"])


def lite0_weights(classes: int = 5, seed: int = 0) -> dict[str, Tensor]:
    """Random weights of EfficientNet-Lite0 with a few classes."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}

    def conv(name: str, o: int, i: int, k: int = 1) -> None:
        scale = (2 / (o * k * k if i > 1 else k * k)) ** 0.5
        found[f"{name}.weight"] = torch.randn((o, i, k, k), generator=generator) * scale

    def norm(name: str, channels: int) -> None:
        for part, low in (("weight", 0.5), ("running_var", 0.5), ("bias", 0.0)):
            found[f"{name}.{part}"] = torch.rand(channels, generator=generator) + low
        found[f"{name}.running_mean"] = torch.randn(channels, generator=generator) / 5
        found[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("_conv_stem", 32, 3, 3)
    norm("_bn0", 32)
    before = 32
    for i, (kernel, expansion, width, _) in enumerate(LITE):
        hidden = before * expansion
        if expansion > 1:
            conv(f"_blocks.{i}._expand_conv", hidden, before)
            norm(f"_blocks.{i}._bn0", hidden)
        conv(f"_blocks.{i}._depthwise_conv", hidden, 1, kernel)
        norm(f"_blocks.{i}._bn1", hidden)
        conv(f"_blocks.{i}._project_conv", width, hidden)
        norm(f"_blocks.{i}._bn2", width)
        before = width
    conv("_conv_head", 1280, 320)
    norm("_bn1", 1280)
    found["_fc.weight"] = torch.randn((classes, 1280), generator=generator) / 30
    found["_fc.bias"] = torch.randn(classes, generator=generator)
    return found
