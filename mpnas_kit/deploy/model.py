"""A model for prediction, from a run folder or an exported file. It needs no training images."""

import pathlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from typing import Annotated, Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mpnas_kit import files
from mpnas_kit.deploy.form import deploy_form, folded
from mpnas_kit.deploy.metadata import Exported
from mpnas_kit.deploy.pixels import batches_in_fits, batches_of_pixels, fitted
from mpnas_kit.deploy.prediction import AutoPrediction, Prediction
from mpnas_kit.deploy.pte_session import is_pte, read_pte
from mpnas_kit.deploy.scores import ALL, Scores, score_suite
from mpnas_kit.deploy.session import read_onnx
from mpnas_kit.domains.decoding import Fit
from mpnas_kit.domains.domain import SPLITS, DomainSuite
from mpnas_kit.domains.pixel_statistics import PixelStatistics
from mpnas_kit.domains.signature import Signature
from mpnas_kit.engine.compute import device_named
from mpnas_kit.engine.stage_folder import CONFIG
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.network.defaults import plain_torch
from mpnas_kit.runs.description import RUN, place
from mpnas_kit.runs.run import Run
from mpnas_kit.training.result import TrainResult
from mpnas_kit.values import Range, checked, require_type

AUTO = "auto"  # instead of the name of a domain: it is chosen for every image


class Model:
    """A trained model: it classifies images of its domains. `load` returns it.

    signatures: images and classes of every domain, by name.
    network: function of a domain's name that returns a new network: pixels (B, 3, H, W), uint8 0 to
    255 or float 0 to 1, to logits float32 (B, classes).
    result: result of the training; None: the model comes from an exported file.

    >>> model = mk.Model.of(trained)
    >>> model.domains, len(model.classes("planted0"))
    (('planted0', 'planted1'), 16)
    >>> model.predict(suite["planted0"].test.images[:3], domain="planted0").probabilities.shape
    (3, 16)
    """

    def __init__(
        self,
        signatures: Mapping[str, Signature],
        network: Callable[[str], nn.Module],
        result: TrainResult | None = None,
    ) -> None:
        self.signatures, self._make, self._result = dict(signatures), network, result
        self._ready: dict[tuple[str, str | None], nn.Module] = {}

    @classmethod
    def of(cls, result: TrainResult) -> "Model":
        """Return the model of a training.

        Raises `MpnasError` if the result does not say how images become network input.
        """
        require_type(result, TrainResult, "result")
        signatures = result.signatures
        if signatures is None:
            raise MpnasError(
                "the folder of this training does not record how its images become network input "
                "(channels, resolution, mean and deviation), because an earlier release wrote it: "
                "train the run again in a new folder. Its results can still be read, with "
                "mk.Run.read(folder).train_result()."
            )

        def network(domain: str) -> nn.Module:
            return deploy_form(result.net, domain, result.paths[domain], signatures[domain])

        return cls(signatures, network, result)

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains."""
        return tuple(self.signatures)

    @property
    def result(self) -> TrainResult:
        """Result of the training. Raises `MpnasError` if the model comes from an exported file."""
        if self._result is None:
            raise MpnasError(
                "a model from an exported file has no training result: load its run folder instead."
            )
        return self._result

    def signature(self, domain: str | None) -> Signature:
        """Return images and classes of a domain. None: the only domain of the model.

        Raises `MpnasError` if the domain is unknown, or None names none of several.
        """
        return self.signatures[self._named(domain)]

    def classes(self, domain: str | None) -> tuple[str, ...]:
        """Return the names of a domain's classes, in the order of the logits (see `signature`)."""
        return self.signature(domain).classes

    def network(self, domain: str | None) -> nn.Module:
        """Return a new network of a domain: pixels (B, 3, H, W) -> logits float32 (B, classes).

        Pixels are uint8 0 to 255, or float 0 to 1: the normalisation is part of the network. A
        model from a run gives the deploy form, of plain torch modules, on the CPU. Raises
        `MpnasError` if the domain is unknown.

        domain: name of the domain; None: the only one.
        """
        return self._make(self._named(domain))

    @overload
    def predict(
        self,
        inputs: Any,
        *,
        domain: Literal["auto"],
        top: int = 1,
        batch_size: int = 64,
        device: str | None = None,
    ) -> AutoPrediction: ...

    @overload
    def predict(
        self,
        inputs: Any,
        *,
        domain: str | None = None,
        top: int = 1,
        batch_size: int = 64,
        device: str | None = None,
    ) -> Prediction: ...

    @checked("predict")
    def predict(
        self,
        inputs: Any,
        *,
        domain: str | None = None,
        top: Annotated[int, Range(1, 1_000_000)] = 1,
        batch_size: Annotated[int, Range(1, 1_000_000)] = 64,
        device: str | None = None,
    ) -> Prediction | AutoPrediction:
        """Return classes and probabilities of images.

        Images of another size are resized: the square in the middle is kept. Colours become grey,
        or grey becomes colours, as the training images were.

        inputs: path of an image file, PIL image, NumPy array (H, W), (H, W, 1 or 3) or (B, H, W, 1
        or 3), tensor (H, W), (1 or 3, H, W) or (B, 1 or 3, H, W), or a list of these. Arrays and
        tensors are uint8 0 to 255, or floats 0 to 1, which are rounded to 256 levels.
        domain: name of the domain; None: the only one of the model; `auto`: the domain of every
        image is chosen by statistics of its pixels (see `PixelStatistics`), unless a domain of the
        model has this name.
        top: classes per image in the table, at least 1; more than there are counts as all.
        batch_size: images that are computed at a time, at least 1.
        device: name of the device in torch; None: a GPU if there is one, else the CPU.

        Raises `MpnasError` if the domain is unknown, there is no image, an item is no image or a
        file cannot be read, the device cannot be used, or domains are to be chosen and the model
        does not have the statistics.
        """
        if domain == AUTO and AUTO not in self.signatures:
            return self._choosing(inputs, top, batch_size, device)
        name = self._named(domain)
        signature, network = self.signatures[name], self._on(name, device)
        names: list[str] = []
        found = []
        batches = batches_of_pixels(inputs, signature.fit, batch_size)
        for some, pixels in batches:
            names += some
            found.append(torch.softmax(self._logits(network, pixels), 1).numpy())
        return Prediction(name, signature.classes, tuple(names), np.concatenate(found), top)

    def _choosing(
        self, inputs: Any, top: int, batch_size: int, device: str | None
    ) -> AutoPrediction:
        """Return the prediction of images whose domains are chosen, a batch at a time."""
        statistics = self._require_pixels()
        images: list[str] = []
        domains: list[str] = []
        found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self.signatures}
        fits = {name: s.fit for name, s in self.signatures.items()}
        every = [*dict.fromkeys(f for fit in fits.values() for f in (fit, _in_colours(fit)))]
        for some, pixels in batches_in_fits(inputs, every, batch_size):
            densities = [one.log_density(pixels[_in_colours(fits[n])]) for n, one in statistics]
            chosen = torch.stack(densities).argmax(0)
            images += some
            domains += [statistics[i][0] for i in chosen.tolist()]
            for index, (name, _) in enumerate(statistics):
                own = pixels[fits[name]][chosen == index]
                if len(own):
                    logits = self._logits(self._on(name, device), own)
                    found[name].append(torch.softmax(logits, 1).numpy())
        parts = {}
        for name, probabilities in found.items():
            if probabilities:
                own_images = tuple(i for i, d in zip(images, domains, strict=True) if d == name)
                classes, whole = self.signatures[name].classes, np.concatenate(probabilities)
                parts[name] = Prediction(name, classes, own_images, whole, top)
        return AutoPrediction(tuple(images), tuple(domains), parts)

    def _require_pixels(self) -> list[tuple[str, PixelStatistics]]:
        """Return the pixel statistics of all domains. Raises `MpnasError` if some are unknown."""
        if self._result is None:
            raise MpnasError(
                "an exported file has no statistics to choose a domain by: name the domain, or "
                "load the run folder."
            )
        known = self._result.pixels
        lacking = [name for name in self.signatures if name not in known]
        if lacking:
            raise MpnasError(
                f"the training does not record statistics to choose a domain by (of "
                f"{', '.join(lacking)}), because an earlier release wrote its folder: name the "
                "domain, or train the run again in a new folder."
            )
        return [(name, known[name]) for name in self.signatures]

    @checked("evaluate")
    def evaluate(
        self,
        suite: DomainSuite,
        split: str = "test",
        *,
        batch_size: Annotated[int, Range(1, 1_000_000)] = 256,
        device: str | None = None,
    ) -> Scores:
        """Return accuracies on labelled images. Domains and classes are matched by name.

        suite: domains with labelled images, of any resolution.
        split: `train`, `val` or `test`; `all`: the images of all three, if the model was trained
        on none of them.
        batch_size: images that are computed at a time, at least 1.
        device: as in `predict`.

        Raises `MpnasError` if the split is unknown, or suite and model have no domain or no class
        in common.

        >>> mk.Model.of(trained).evaluate(suite).domains["images"].tolist()
        [16, 16]
        """
        require_type(suite, DomainSuite, "suite")
        if split not in (*SPLITS, ALL):
            raise unknown("split", split, (*SPLITS, ALL))

        def classify(domain: str, images: Tensor) -> Tensor:
            signature = self.signatures[domain]
            pixels = fitted(images, signature.fit)
            return self._logits(self._on(domain, device), pixels).argmax(1)

        return score_suite(classify, self.signatures, suite, split, batch_size)

    def _named(self, domain: str | None) -> str:
        if domain is None and len(self.signatures) == 1:
            return next(iter(self.signatures))
        if domain is None:
            known = ", ".join(self.signatures)
            raise MpnasError(
                f"the model has several domains: name one of {known}, or {AUTO!r} to have one "
                "chosen for every image."
            )
        if domain not in self.signatures:
            raise unknown("domain", domain, self.signatures)
        return domain

    def _on(self, domain: str, device: str | None) -> nn.Module:
        """Return the network of a domain on a device. It is kept for the next call.

        Batch norms of a deploy form are folded, and its tensors are channels-last: both save time.
        """
        if (domain, device) not in self._ready:
            chosen, network = device_named(device), self._make(domain)
            if isinstance(network, nn.Sequential):
                network = folded(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._ready[domain, device] = network.to(chosen)
        return self._ready[domain, device]

    @staticmethod
    def _logits(network: nn.Module, pixels: Tensor) -> Tensor:
        """Return the logits float32 (B, classes) on the CPU of pixels uint8 (B, 1 or 3, H, W)."""
        device = next((b.device for b in network.buffers()), torch.device("cpu"))
        with plain_torch(), torch.inference_mode():
            logits: Tensor = network(pixels.to(device).expand(-1, 3, -1, -1))
        return logits.float().cpu()

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(d)}</td><td>{len(s.classes)}</td><td>{s.resolution}</td></tr>"
            for d, s in self.signatures.items()
        )
        head = "<tr><th>domain</th><th>classes</th><th>pixels</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"

    def __repr__(self) -> str:
        return f"Model({', '.join(self.signatures)})"


def _in_colours(fit: Fit) -> Fit:
    """Return the fit in which images are compared with a domain: a grey domain sees colours too."""
    return replace(fit, channels=3)


def load(path: str | pathlib.Path, *, trust: bool = False) -> Model:
    """Return the model of a finished training, or of an exported file. It needs no training images.

    Files are read; no step is computed. Weights are loaded when they are first used. The networks
    of a file run on the CPU, whatever the device.

    path: a run folder, the stage folder of a training, or a file that `export` wrote.
    trust: whether modules that the folder names are imported.

    Raises `MpnasError` if the training is not finished, a file is damaged, or an earlier release
    wrote the folder without what a prediction needs.

    >>> model = mk.load("runs/mine")  # doctest: +SKIP
    >>> model.predict("photo.jpg", domain="pets").labels  # doctest: +SKIP
    ('cat',)
    """
    folder = place(path)
    if files.exists(folder) and folder.is_file():
        exported = read_exported(files.read_bytes(folder), folder)
        return Model(exported.signatures, exported.network)
    if files.exists(folder / RUN):
        return Model.of(Run.read(path, trust=trust).train_result())
    if not files.exists(folder / CONFIG):
        raise MpnasError(
            f"{folder} has no {RUN}: expected a run folder, the stage folder of a training, or a "
            "file of `mpnas export`."
        )
    return Model.of(TrainResult.load(folder, trust=trust))


def read_exported(content: bytes, where: object) -> Exported:
    """Return an exported file of any format, which is recognised by its content.

    content: the file.
    where: its path, for an error.

    Raises `MpnasError` if `export` did not write it, or it is damaged.
    """
    return read_pte(content, where) if is_pte(content) else read_onnx(content, where)
