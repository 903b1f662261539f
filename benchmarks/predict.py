"""Measure predictions: ratios of times, as table and JSON.

    python benchmarks/predict.py [--repeats 7] [--domains 10] [--json FILE]     # about a minute

The networks are random paths of the pocket space at 32 pixels, with random weights, one thread.
Each line is a ratio A / B of two processor times that are measured in turn, `repeats` times.
Printed are the median, smallest and largest ratio. Below, "A over B" names the two times. N is the
number of images, 1 and 64. Exported files are measured by `benchmarks/export.py`.

- predict N: plain torch on the deploy form, with softmax, over `Model.predict` on the same tensor.
  A prediction folds batch norms and is channels-last, so it can be faster.
- union N: the network of the training over the deploy form.
"""

import mpnas_kit as mk  # (before torch: it sets how threads wait)

# isort: split
import torch
from ratios import Ratio, ratio, run
from torch import Tensor

from mpnas_kit.deploy.form import deploy_form
from mpnas_kit.network.net import Flow, MultiPathNet

SIZE = 32


def union(domains: int, space: mk.SearchSpace) -> tuple[MultiPathNet, dict[str, mk.Path]]:
    """Return the union of random paths in evaluation mode, and the paths by domain."""
    draw = torch.Generator().manual_seed(0)
    paths = {
        f"domain{i}": space.path(
            [int(torch.randint(len(d.choices), (), generator=draw)) for d in space.decisions]
        )
        for i in range(domains)
    }
    tasks = dict.fromkeys(paths, mk.Classification(10))
    return MultiPathNet.of_paths(space, paths, tasks, "per_domain", seed=0).eval(), paths


def signature() -> mk.Signature:
    """Return the signature of every domain here."""
    classes = tuple(f"class{i}" for i in range(10))
    return mk.Signature(classes, 3, SIZE, (0.5,) * 3, (0.25,) * 3)


def measure(domains: int, repeats: int) -> dict[str, Ratio]:
    """Return the ratios by name."""
    net, paths = union(domains, mk.pocket_space(SIZE))
    name, path = next(iter(paths.items()))
    form = deploy_form(net, name, path, signature())
    model = mk.Model({name: signature()}, lambda _: form)
    found: dict[str, Ratio] = {}
    for count in (1, 64):
        pixels = torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8)
        images = signature().standard(pixels)

        @torch.inference_mode()
        def plain(pixels: Tensor = pixels) -> Tensor:
            return torch.softmax(form(pixels), 1)

        @torch.inference_mode()
        def trained(images: Tensor = images) -> list[Tensor]:
            return net([Flow(name, images, path)])

        def predicted(pixels: Tensor = pixels) -> mk.Prediction:
            return model.predict(pixels, domain=name)

        found[f"predict {count}"] = ratio(plain, predicted, repeats)
        found[f"union {count}"] = ratio(trained, plain, repeats)
    return found


if __name__ == "__main__":
    run(__doc__.splitlines()[0], measure)
