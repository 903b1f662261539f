"""Measure exported files of every format: ratios of times and sizes, as table and JSON.

    python benchmarks/export.py [--repeats 7] [--domains 10] [--json FILE]     # about ten minutes

The networks are random paths of the pocket space at 32 pixels, with random weights and norms, one
thread. Calibration images of int8 are random too: what int8 costs in accuracy depends on the data,
and `mpnas export` prints it.

Times are processor times of the logits of one domain, divided by those of plain torch on its deploy
form, measured in turn, `repeats` times. N is the number of images, 1 and 64.

- onnx whole N: onnxruntime on the file of all domains, which computes them all.
- onnx cut N: the same file after the domain was cut out, as `mk.load` does.
- onnx-folded N, onnx-int8 N: onnxruntime on the file of the domain.
- pte N: ExecuTorch on the method of the domain, in the file of all domains.
- pte alone N: ExecuTorch on a file of that domain, which has its norms folded.

Sizes are bytes of the files of all domains, divided by those of `onnx-folded`. "pte alone" is one
file per domain, of the first domain alone.
"""

import mpnas_kit as mk  # (before torch: it sets how threads wait)

# isort: split
from collections.abc import Callable, Mapping
from functools import partial

import torch
from predict import SIZE, signature, union
from ratios import Ratio, run, seconds
from torch import nn

from mpnas_kit.deploy.form import deploy_form
from mpnas_kit.deploy.int8 import int8_content
from mpnas_kit.deploy.metadata import optional
from mpnas_kit.deploy.model import read_exported
from mpnas_kit.deploy.onnx import onnx_content
from mpnas_kit.deploy.pte import pte_content
from mpnas_kit.deploy.session import OnnxNetwork

LICENSE = "none"


def forms_of(domains: int) -> dict[str, nn.Sequential]:
    """Return deploy forms of random paths by domain. Every domain has norms of its own."""
    net, paths = union(domains, mk.pocket_space(SIZE))
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.ndim == 1 and tensor.is_floating_point():
                tensor.add_(0.2 * torch.rand(tensor.shape, generator=draw))
    return {d: deploy_form(net.eval(), d, paths[d], signature()) for d in paths}


def measure(domains: int, repeats: int) -> dict[str, Ratio]:
    """Return the ratios by name."""
    forms = forms_of(domains)
    signatures = dict.fromkeys(forms, signature())
    images = torch.randint(0, 256, (64, 3, SIZE, SIZE), dtype=torch.uint8)
    name = next(iter(forms))
    first = {name: forms[name]}
    shared = onnx_content(forms, signatures, False, LICENSE)
    folded = {d: onnx_content({d: forms[d]}, signatures, True, LICENSE) for d in forms}
    int8 = {d: int8_content(content, images, d) for d, content in folded.items()}
    mobile = pte_content(forms, signatures, LICENSE)
    alone = pte_content(first, signatures, LICENSE)
    (library,) = optional("mobile", "executorch.extension.pybindings.portable_lib")
    library._unsafe_reset_threadpool(1)  # before a method is loaded, which keeps its threads
    networks: dict[str, nn.Module] = {
        "onnx whole": OnnxNetwork(shared, f"logits_{name}"),
        "onnx cut": read_exported(shared, "onnx").network(name),
        "onnx-folded": read_exported(folded[name], "onnx-folded").network(name),
        "onnx-int8": read_exported(int8[name], "onnx-int8").network(name),
        "pte": read_exported(mobile, "pte").network(name),
        "pte alone": read_exported(alone, "pte alone").network(name),
    }
    found = times(forms[name], networks, images, repeats)
    whole = sum(map(len, folded.values()))
    found["onnx bytes"] = [len(shared) / whole]
    found["onnx-int8 bytes"] = [sum(map(len, int8.values())) / whole]
    found["pte bytes"] = [len(mobile) / whole]
    found["pte alone bytes"] = [len(alone) / len(folded[name])]
    return found


def times(
    torch_form: nn.Module, networks: Mapping[str, nn.Module], images: torch.Tensor, repeats: int
) -> dict[str, Ratio]:
    """Return times of networks, divided by those of torch, by name and number of images."""
    found: dict[str, Ratio] = {}
    for count in (1, len(images)):
        pixels = images[:count].contiguous()
        calls: dict[str, Callable[[], object]] = {
            name: partial(network, pixels) for name, network in networks.items()
        }
        with torch.inference_mode():
            for call in calls.values():
                call()
            rounds = 200 // count + 1
            for _ in range(repeats):
                eager = seconds(partial(torch_form, pixels), rounds)
                for name, call in calls.items():
                    ratio = seconds(call, rounds) / eager
                    found.setdefault(f"{name} {count}", []).append(ratio)
    return found


if __name__ == "__main__":
    run(__doc__.splitlines()[0], measure)
