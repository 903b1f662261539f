"""A model as an ExecuTorch program: the content of a `.pte` file, for phones and small computers.

The file has one method per domain, computed by XNNPACK. A method takes pixels, uint8 (batch, 3, H,
W), of 1 to 64 images, and returns logits, float32 (batch, classes). Normalisation is inside. The
name of a method is that of its domain if that is an identifier.

Further methods take no arguments and return text: `mpnas_kit.domains` (JSON: method, classes,
resolution, means, deviations and resizing per domain), `mpnas_kit.version`, `mpnas_kit.format` and
`license`. A checksum is at the end of the file.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from mpnas_kit.deploy.form import folded, scaled
from mpnas_kit.deploy.metadata import metadata_of, optional, quiet
from mpnas_kit.deploy.onnx import refused
from mpnas_kit.deploy.pte_session import sealed
from mpnas_kit.domains.signature import Signature

MOST_IMAGES = 64  # per call of a method


def pte_content(
    forms: Mapping[str, nn.Sequential], signatures: Mapping[str, Signature], license: str
) -> bytes:
    """Return the networks of domains as one ExecuTorch program.

    If there are several domains, batch norms are scales and shifts, so that equal weights of
    domains are stored once. That costs time, so a single domain has them folded.

    forms: deploy form of every domain.
    signatures: images and classes of every domain.
    license: note on the licence of the weights, for the metadata.

    Raises `MpnasError` if a package is missing or a block cannot be exported.
    """
    methods = method_names(forms)
    metadata = metadata_of({d: signatures[d] for d in forms}, methods, "pte", license)
    prepare = folded if len(forms) == 1 else scaled
    exir, xnnpack = optional(
        "mobile",
        "executorch.exir",
        "executorch.backends.xnnpack.partition.xnnpack_partitioner",
    )
    try:
        with quiet():
            programs = {
                methods[domain]: _traced(prepare(form), signatures[domain].resolution)
                for domain, form in forms.items()
            }
            lowered = exir.to_edge_transform_and_lower(
                programs, partitioner=[xnnpack.XnnpackPartitioner()], constant_methods=metadata
            )
            program: bytes = lowered.to_executorch().buffer
    except Exception as error:  # of the exporter, or of a block's own code
        raise refused(f"the network of {', '.join(forms)}", "ExecuTorch", error) from None
    return sealed(program)


def _traced(network: nn.Module, size: int) -> torch.export.ExportedProgram:
    """Return a network as a program for 1 to `MOST_IMAGES` images.

    The example has as many images as a call may have: torch selects convolutions by the size of the
    batch (fewer than 16, or more), and ExecuTorch would take that as the largest batch.
    """
    example = torch.zeros(MOST_IMAGES, 3, size, size, dtype=torch.uint8)
    shapes = ({0: torch.export.Dim("batch", min=1, max=MOST_IMAGES)},)
    return torch.export.export(network, (example,), dynamic_shapes=shapes)


def method_names(domains: Iterable[str]) -> dict[str, str]:
    """Return the names of the methods by domain: identifiers that differ.

    >>> method_names(["pets", "my-pets", "my_pets", "3d"])
    {'pets': 'pets', 'my-pets': 'my_pets', 'my_pets': 'my_pets_2', '3d': '_3d'}
    """
    found: dict[str, str] = {}
    for domain in domains:
        name = re.sub(r"\W", "_", domain, flags=re.ASCII)
        name = base = f"_{name}" if name[:1].isdigit() else name
        number = 1
        while name in found.values():
            number += 1
            name = f"{base}_{number}"
        found[domain] = name
    return found
