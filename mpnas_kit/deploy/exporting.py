"""Export of a model: its files are made, checked and written, all or none, with model cards."""

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import nn

from mpnas_kit import files
from mpnas_kit.deploy.card import card_of
from mpnas_kit.deploy.export_images import Samples, samples_of
from mpnas_kit.deploy.form import deploy_form
from mpnas_kit.deploy.formats import Format, Quantization, Written, file_paths
from mpnas_kit.deploy.int8 import agreement, int8_content, latencies, require_enough
from mpnas_kit.deploy.model import Model, read_exported
from mpnas_kit.deploy.onnx import onnx_content
from mpnas_kit.deploy.pte import pte_content
from mpnas_kit.deploy.session import read_onnx
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.signature import Signature
from mpnas_kit.errors import MpnasError
from mpnas_kit.runs.description import place
from mpnas_kit.values import Range, checked, convert_text, require_type

NOT_STATED = "not stated"
BOUND = 1e-4  # largest difference of logits from torch, of formats with float weights
MAX_LOSS = 0.05  # default of the accuracy that int8 may lose
RANDOM_IMAGES = 16  # per domain, with which a file is checked


@checked("export")
def export(
    model: Model,
    out: Any,
    *,
    domain: str | None = None,
    format: Format = "onnx",
    images: Any = (),
    max_loss: Annotated[float, Range(0, 1)] = MAX_LOSS,
    license: str = NOT_STATED,
    data: str = NOT_STATED,
    command: str | None = None,
) -> list[Written]:
    """Write a model in a format for other programs, with model cards. Return what was written.

    Every file is run before it is written, and compared with torch. Either all files and cards are
    written, or none. `load` opens the files.

    model: model of a run.
    out: path of the file. It ends with `.onnx`, or with `.pte` for the format `pte`. If a format
    has one file per domain, `mine.onnx` becomes `mine-DOMAIN.onnx` for several domains. The cards
    have the names of the files with `.card.md` and `.card.json` behind them.
    domain: name of the only domain to write; None: all.
    format: `onnx`: one file in which domains share weights. `onnx-folded`: one file per domain,
    with batch norms folded into convolutions. `onnx-int8`: the same with int8 weights and
    activations. `pte`: one ExecuTorch program with a method per domain.
    images: images to check the files with besides random ones, as in `Model.predict`, or a suite
    with these domains. `onnx-int8` needs them: at least 32 training images per domain give the
    ranges of activations. With a suite, they come from `train`, and `test` measures the accuracy.
    Several domains need a suite.
    max_loss: for `onnx-int8`, most accuracy that may be lost, 0 to 1. For images without labels,
    the largest share whose most probable class changes.
    license: note on the licence of the weights, for the metadata and the card.
    data: words about the training images, for the card.
    command: command for the card; None: this call.

    Raises `MpnasError` if a package is missing (extra `onnx`, or `mobile` for `pte`), the domain is
    unknown, a block cannot be exported, images are too few, logits differ from those of torch by
    more than 1e-4, int8 loses more than `max_loss`, or a file cannot be written.

    >>> mk.export(mk.load("runs/mine"), "mine.onnx")  # doctest: +SKIP
    """
    require_type(model, Model, "model")
    path = place(out, "out")
    for name, text in (("license", license), ("data", data)):
        convert_text(text, name)
    result = model.result
    names = model.domains if domain is None else (domain,)
    signatures = {name: model.signature(name) for name in names}
    paths = file_paths(path, format, names)
    if format == "onnx-int8" and len(names) > 1 and not isinstance(images, DomainSuite):
        raise MpnasError(
            "int8 of several domains needs training images of each: give a suite (--data), "
            "or images of one domain and its name (--domain)."
        )
    samples = {name: samples_of(images, name, s) for name, s in signatures.items()}
    if format == "onnx-int8":
        for name, own_images in samples.items():
            require_enough(own_images.calibration, name)
    if command is None:
        command = f"mk.export(model, {path.name!r}, format={format!r})"
    contents: dict[pathlib.Path, bytes] = {}
    written = []
    for target, own in paths.items():
        forms = {d: deploy_form(result.net, d, result.paths[d], signatures[d]) for d in own}
        part = _Part(target, forms, {d: signatures[d] for d in own}, samples)
        content, done = part.made(format, license, max_loss)
        facts = {"format": format, "data": data, "license": license, "command": command}
        card = card_of(result, part.signatures, done, facts)
        contents[target] = content
        markdown = target.with_name(f"{target.name}.card.md")
        contents[markdown] = card.markdown.encode("utf-8", "replace")
        contents[markdown.with_suffix(".json")] = files.json_bytes(card.content)
        written.append(done)
    files.make_folder(path.parent)
    files.write_together(contents)
    return written


@dataclass(frozen=True)
class _Part:
    """What goes into one file.

    path: the file.
    forms: deploy form of every domain of the file.
    signatures: their images and classes.
    samples: their images to check and calibrate with.
    """

    path: pathlib.Path
    forms: dict[str, nn.Sequential]
    signatures: dict[str, Signature]
    samples: Mapping[str, Samples]

    def made(self, format: Format, license: str, max_loss: float) -> tuple[bytes, Written]:
        """Return the content of the file after its check, and what is written."""
        if format == "onnx-int8":
            return self._quantized(license, max_loss)
        if format == "pte":
            content = pte_content(self.forms, self.signatures, license)
        else:
            content = onnx_content(self.forms, self.signatures, format == "onnx-folded", license)
        difference = self._difference(content)
        if not difference <= BOUND:
            raise MpnasError(
                f"the exported network differs from torch by {difference:.1e}, more than "
                f"{BOUND:g}: the file was not written."
            )
        return content, Written(self.path, tuple(self.forms), len(content), difference)

    def _difference(self, content: bytes) -> float:
        """Return the largest difference of logits between the file and torch.

        It is relative to the largest logit if that is above 1. Images are random, and those given.
        """
        read, worst = read_exported(content, self.path), 0.0
        for domain, form in self.forms.items():
            network, size = read.network(domain), self.signatures[domain].resolution
            shape = (RANDOM_IMAGES, 3, size, size)
            generator = torch.Generator().manual_seed(0)
            random = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
            for pixels in (random, random[:1], *self.samples[domain].check.split(64)):
                if len(pixels):
                    with torch.inference_mode():
                        found, expected = network(pixels), form(pixels)
                    scale = max(1.0, float(expected.abs().max()))
                    worst = max(worst, float((found - expected).abs().max()) / scale)
        return worst

    def _quantized(self, license: str, max_loss: float) -> tuple[bytes, Written]:
        """Return the int8 file of one domain. Its float form is checked against torch before."""
        (domain,) = self.forms
        samples, signature = self.samples[domain], self.signatures[domain]
        before, _ = self.made("onnx-folded", license, max_loss)
        content = int8_content(before, samples.calibration, domain)
        one, other = (read_onnx(c, self.path, 1).network(domain) for c in (before, content))
        labelled, accuracy = _accuracies((one, other), domain, signature, samples)
        found = Quantization(
            calibrated=len(samples.calibration),
            images=len(samples.check),
            agreement=agreement(one, other, samples.check),
            labelled=labelled,
            accuracy=accuracy,
            bytes=(len(before), len(content)),
            milliseconds=latencies(one, other, samples.check),
        )
        if not found.lost <= max_loss + 1e-9:
            words = f"changes the class of {found.lost:.1%} of {found.images} images"
            if accuracy is not None:
                words = f"loses {found.lost:.1%} of accuracy on {labelled} images"
            raise MpnasError(
                f"domain {domain!r}: int8 {words}, more than {max_loss:.1%}: nothing was "
                "written. Give more training images, use the format 'onnx-folded', or allow more "
                "(--max-loss)."
            )
        written = Written(self.path, (domain,), len(content), self._difference(content), found)
        return content, written


def _accuracies(
    networks: tuple[nn.Module, nn.Module], domain: str, signature: Signature, samples: Samples
) -> tuple[int, tuple[float, float] | None]:
    """Return the number of labelled test images, and the accuracies of two networks on them."""
    if samples.suite is None:
        return 0, None
    before, after = (
        Model({domain: signature}, lambda _, network=network: network)  # type: ignore[misc]
        .evaluate(samples.suite, "test")
        .domains.iloc[0]
        for network in networks
    )
    return int(before["images"]), (float(before["accuracy"]), float(after["accuracy"]))
