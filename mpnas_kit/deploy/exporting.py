"""Export of a model: which files are written, and the model card beside each."""

from typing import Any

import torch

from mpnas_kit import files
from mpnas_kit.deploy.card import card_of
from mpnas_kit.deploy.form import deploy_form
from mpnas_kit.deploy.model import Model
from mpnas_kit.deploy.onnx import Layout, Written, export_file
from mpnas_kit.deploy.pixels import batches_of_pixels
from mpnas_kit.deploy.session import optional
from mpnas_kit.errors import MpnasError
from mpnas_kit.runs.description import place
from mpnas_kit.values import checked, convert_text, require_type

NOT_STATED = "not stated"


@checked("export")
def export(
    model: Model,
    out: Any,
    *,
    domain: str | None = None,
    layout: Layout = "shared",
    images: Any = (),
    license: str = NOT_STATED,
    data: str = NOT_STATED,
    command: str | None = None,
) -> list[Written]:
    """Write a model as ONNX files, each with a model card beside it. Return what was written.

    Every file is run by onnxruntime before it is written, and compared with torch. `load` opens it.
    Packages of the extra `onnx` are needed: `pip install 'mpnas-kit[onnx]'`.

    model: model of a run.
    out: path of the file, which ends with `.onnx`. Layout `folded` writes one file per domain: from
    several domains, `mine.onnx` becomes `mine-DOMAIN.onnx`. The cards have the endings `.card.md`
    and `.card.json`.
    domain: name of the only domain to write; None: all.
    layout: `shared`: one file in which domains share weights. `folded`: one file per domain, with
    batch norms folded into convolutions.
    images: images to check the files with besides random ones, as in `Model.predict`.
    license: note on the licence of the weights, for the metadata and the card.
    data: words about the training images, for the card.
    command: command for the card; None: this call.

    Raises `MpnasError` if a package is missing, the domain is unknown, a block cannot be exported,
    the outputs differ from those of torch by more than 1e-4, or a file cannot be written.

    >>> mk.export(mk.load("runs/mine"), "mine.onnx")  # doctest: +SKIP
    """
    require_type(model, Model, "model")
    path = place(out, "out")
    if path.suffix != ".onnx":
        raise MpnasError(f"out must be a file that ends with .onnx, not {str(path)!r}.")
    for name, text in (("license", license), ("data", data)):
        convert_text(text, name)
    result = model.result
    optional("onnx", "onnxscript", "onnxruntime")
    names = model.domains if domain is None else (domain,)
    signatures = {name: model.signature(name) for name in names}
    forms = {
        name: deploy_form(result.net, name, result.paths[name], signature)
        for name, signature in signatures.items()
    }
    pixels = {name: _pixels(images, model, name) for name in names}
    groups = [names] if layout == "shared" else [(name,) for name in names]
    if command is None:
        command = f"mk.export(model, {path.name!r}, layout={layout!r})"
    written = []
    for group in groups:
        alone = len(groups) == 1
        target = path if alone else path.with_name(f"{path.stem}-{group[0]}.onnx")
        own = {name: signatures[name] for name in group}
        done = export_file(
            target,
            {name: forms[name] for name in group},
            own,
            layout,
            images=pixels,
            license=license,
        )
        facts = {
            "file": target.name,
            "layout": layout,
            "bytes": done.bytes,
            "difference": done.difference,
            "data": data,
            "license": license,
            "command": command,
        }
        card = card_of(result, own, facts)
        files.write_text(target.with_suffix(".card.md"), card.markdown)
        files.write_json(target.with_suffix(".card.json"), card.content)
        written.append(done)
    return written


def _pixels(images: Any, model: Model, domain: str) -> torch.Tensor:
    """Return images for a domain's network, uint8 (n, 3, H, W); n is 0 if there are none."""
    signature = model.signature(domain)
    size = signature.resolution
    if isinstance(images, tuple | list) and not images:
        return torch.empty(0, 3, size, size, dtype=torch.uint8)
    batches = batches_of_pixels(images, signature.fit, 64)
    return torch.cat([pixels.expand(-1, 3, -1, -1) for _, pixels in batches])
