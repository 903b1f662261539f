"""Measure predictions and exported files: ratios of times and sizes, as table and JSON.

    python benchmarks/predict.py [--repeats 7] [--domains 10] [--json FILE]     # about two minutes

The networks are random paths of the pocket space at 32 pixels, with random weights, one thread.
Each line is a ratio A / B of two processor times that are measured in turn, `repeats` times.
Printed are the median, smallest and largest ratio. Below, "A over B" names the two times. N is the
number of images, 1 and 64.

- predict N: plain torch on the deploy form, with softmax, over `Model.predict` on the same tensor.
  A prediction folds batch norms and is channels-last, so it can be faster.
- union N: the network of the training over the deploy form.
- onnxruntime N: the deploy form over onnxruntime on a file of one domain with folded batch norms.
- predict onnx N: onnxruntime on that file, with softmax, over `Model.predict` of the loaded file.
- cut out N: onnxruntime on that file over the domain cut out of the file of all domains.
- whole file N: onnxruntime on that file over the file of all domains, which computes them all.

Two lines are ratios of bytes: the file of all domains over the files of one domain each, and the
weights of its convolutions and classifiers over those of the network of the training.
"""

import mpnas_kit as mk  # (before torch: it sets how threads wait)

# isort: split
import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path as FilePath

import torch
from torch import Tensor

from mpnas_kit.deploy.form import deploy_form
from mpnas_kit.deploy.onnx import export_file
from mpnas_kit.deploy.session import start_session
from mpnas_kit.network.net import Flow, MultiPathNet

Ratio = list[float]
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


def ratio(one: Callable[[], object], other: Callable[[], object], repeats: int) -> Ratio:
    """Return times of `one` divided by times of `other`, measured in turn."""
    count = 1
    while seconds(one, count) < 0.05:
        count *= 2
    seconds(other, count)
    return [seconds(one, count) / seconds(other, count) for _ in range(repeats)]


def seconds(call: Callable[[], object], count: int) -> float:
    """Return the processor time of `count` calls."""
    began = time.process_time()
    for _ in range(count):
        call()
    return time.process_time() - began


def measure(folder: FilePath, domains: int, repeats: int) -> dict[str, Ratio]:
    """Return the ratios by name.

    folder: where files are written.
    """
    space = mk.pocket_space(SIZE)
    net, paths = union(domains, space)
    name, path = next(iter(paths.items()))
    signatures = dict.fromkeys(paths, signature())
    forms = {d: deploy_form(net, d, paths[d], signatures[d]) for d in paths}
    model = mk.Model(signatures, forms.__getitem__)
    options: dict[str, dict[str, Tensor] | str] = {"images": {}, "license": "none"}
    shared = export_file(folder / "all.onnx", forms, signatures, "shared", **options)  # type: ignore[arg-type]
    alone = {
        d: export_file(folder / f"{d}.onnx", {d: forms[d]}, signatures, "folded", **options)  # type: ignore[arg-type]
        for d in paths
    }
    exported, cut = mk.load(alone[name].path), mk.load(shared.path).network(name)
    single, whole = exported.network(name), start_session(shared.path.read_bytes())
    found: dict[str, Ratio] = {}
    for count in (1, 64):
        pixels = torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8)
        images, array = signature().standard(pixels), pixels.numpy()

        @torch.inference_mode()
        def plain(pixels: Tensor = pixels) -> Tensor:
            return torch.softmax(forms[name](pixels), 1)

        @torch.inference_mode()
        def trained(images: Tensor = images) -> list[Tensor]:
            return net([Flow(name, images, path)])

        def runtime(pixels: Tensor = pixels) -> Tensor:
            return torch.softmax(single(pixels), 1)

        def predicted(model: mk.Model, pixels: Tensor = pixels) -> mk.Prediction:
            return model.predict(pixels, domain=name)

        lines: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "predict": (plain, lambda: predicted(model)),
            "union": (trained, plain),
            "onnxruntime": (plain, runtime),
            "predict onnx": (runtime, lambda: predicted(exported)),
            "cut out": (runtime, lambda pixels=pixels: cut(pixels)),
            "whole file": (runtime, lambda array=array: whole.run(None, {"images": array})),
        }
        for line, (one, other) in lines.items():
            found[f"{line} {count}"] = ratio(one, other, repeats)
    found["bytes of files"] = [shared.bytes / sum(file.bytes for file in alone.values())]
    kernels = [p.numel() * 4 for n, p in net.named_parameters() if p.ndim > 1 or "heads" in n]
    found["bytes over weights"] = [shared.bytes / sum(kernels)]
    return found


def main() -> None:
    """Print the table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--domains", type=int, default=10)
    parser.add_argument("--json", type=FilePath)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(FilePath(folder), given.domains, given.repeats)
    print(f"{'A / B':20}{'median':>8}{'least':>8}{'most':>8}")
    for name, values in found.items():
        middle = statistics.median(values)
        print(f"{name:20}{middle:8.2f}{min(values):8.2f}{max(values):8.2f}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
