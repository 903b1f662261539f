"""Export finished runs to ONNX, and compare accuracy, latency and size of the files.

    python benchmarks/exported.py --data photos/suite.toml --out files RUN OTHER ...

Every run is written as one file for all domains (`onnx`). Accuracy is that of the file on the test
images. Latency is the processor time of onnxruntime for the logits of one image, one thread, mean
over domains: the median of `repeats` turns, in which the runs take turns, and its ratio to that of
the first run. Size is that of the file.
"""

import mpnas_kit as mk  # before torch: it sets how threads wait

# isort: split
import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from ratios import one_core, timed
from torch import Tensor, nn

CALLS = 20  # per domain and turn


def call(networks: Mapping[str, nn.Module], images: Mapping[str, Tensor]) -> None:
    """Compute the logits of one image of every domain."""
    for domain, network in networks.items():
        network(images[domain])


def main() -> None:
    """Export the runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help="run folders")
    parser.add_argument("--data", required=True, help="suite with the test images")
    parser.add_argument("--out", required=True, help="folder of the files")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    files, models = {}, {}
    for number, folder in enumerate(given.runs):
        name = Path(folder).name
        files[name] = Path(given.out) / f"{number}.onnx"
        files[name].parent.mkdir(parents=True, exist_ok=True)
        mk.export(mk.load(folder), files[name])
        models[name] = mk.load(files[name])
    suite = mk.suite_file(given.data)
    networks = {name: {d: m.network(d) for d in m.signatures} for name, m in models.items()}
    images = {
        d: torch.zeros(1, 3, s.resolution, s.resolution, dtype=torch.uint8)
        for model in models.values()
        for d, s in model.signatures.items()
    }
    times: dict[str, list[float]] = {name: [] for name in models}
    with one_core():
        for turn in range(given.repeats + 1):
            for name, own in networks.items():
                cpu = timed(lambda: call(own, images), CALLS).cpu  # noqa: B023
                if turn:
                    times[name].append(1000 * cpu / CALLS / len(own))
    first = times[next(iter(models))]
    rows = []
    for name, model in models.items():
        scores = model.evaluate(suite).domains["accuracy"]
        ratios = [a / b for a, b in zip(times[name], first, strict=True)]
        rows.append(
            {
                "run": name,
                "test": f"{100 * scores.mean():.1f} %",
                "ms per image": f"{statistics.median(times[name]):.3f}",
                "ratio": f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
                "MB": f"{files[name].stat().st_size / 1e6:.2f}",
            }
        )
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
