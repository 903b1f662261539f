"""Training steps and predictions of fixed paths."""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from ratios import turns
from search_steps import Rows, Size, torch_gradients, use_kernels

from mpnas_kit.domains.task import Classification
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.space.costs import MultiplyAdds
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.spaces import mobilenet_v3_large, pocket_space

ARCH = "k5e2 k5e2 k5e2 zero k5e4 k5e2 k5e2 k5e4 k5e2 k5e2"


def training_step(domains: int, images: int) -> Callable[[], None]:
    """Return a step: forward and backward pass of a path with 5 x 5 kernels for every domain.

    images: images per domain.
    """
    space = pocket_space()
    return _training_step(space, space.parse(ARCH), domains, images)


def large_step(resolution: int, images: int, kernels: str = "auto") -> Callable[[], None]:
    """Return the same step for two domains on MobileNetV3-Large."""
    space = mobilenet_v3_large(resolution)
    path = space.extremes(MultiplyAdds().price)[0]
    return _training_step(space, path, 2, images, kernels)


def _training_step(
    space: SearchSpace, path: Path, domains: int, images: int, kernels: str = "auto"
) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    net = union([path] * domains, space, kernels)
    size = space.resolution
    batch = torch.randn(images, 3, size, size, generator=generator)
    batch = batch.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (images,), generator=generator)
    flows = [Flow(d, batch, path) for d in net.tasks]

    def step() -> None:
        losses = [F.cross_entropy(logits, labels) for logits in net(flows)]
        torch.autograd.backward(torch.stack(losses).sum())

    return step


def union(paths: Sequence[Path], space: SearchSpace, kernels: str = "auto") -> MultiPathNet:
    """Return the network of these paths, one domain of ten classes for each."""
    own = {f"domain{i}": path for i, path in enumerate(paths)}
    tasks = dict.fromkeys(own, Classification(10))
    net = MultiPathNet.of_paths(space, own, tasks, "per_domain", 0)
    use_kernels(net, kernels)
    return net


def large(size: Size) -> Rows:
    """Measure a step on MobileNetV3-Large with eager kernels over one with native ones."""
    rows = {}
    for pixels in size.pixels:
        eager, native = (large_step(pixels, size.images // 2, k) for k in ("eager", "native"))
        rows[f"large {pixels}"] = turns(eager, native, size.repeats)
    return rows


def depthwise(size: Size) -> Rows:
    """Measure eager steps with torch's depthwise gradients over those of the kit."""
    ours = large_step(size.pixels[0], size.images, "eager")

    def stock() -> None:
        with torch_gradients():
            ours()

    return {"depthwise": turns(stock, ours, size.repeats, count=size.steps)}


def domains(size: Size) -> Rows:
    """Measure the time per domain of a step with many domains over one with few."""
    few = len(size.domains)
    many, some = (training_step(n, size.images) for n in (size.many, few))
    return {"domains": turns(many, some, size.repeats, count=size.steps, scale=few / size.many)}


def inference(size: Size) -> Rows:
    """Measure a path in a union of ten over the same path alone."""
    space, generator = pocket_space(), torch.Generator().manual_seed(1)
    paths = [space.sample(generator) for _ in range(10)]
    every, alone = union(paths, space).eval(), union(paths[:1], space).eval()
    rows = {}
    for images in (1, 64):
        batch = torch.randn(images, 3, 32, 32).contiguous(memory_format=torch.channels_last)

        @torch.no_grad()
        def predict(net: MultiPathNet, batch: torch.Tensor = batch) -> None:
            net([Flow("domain0", batch, paths[0])])

        rows[f"inference {images}"] = turns(
            lambda p=predict: p(every), lambda p=predict: p(alone), size.repeats, 20 * size.steps
        )
    return rows
