"""A submission to the Visual Domain Decathlon: predictions for its test images, which have no
labels here. The organisers score them.

    results.json    [{"image_id": 10200001, "category_id": 10000007}, ...], over all domains

The form is that of the organisers: this file, in a ZIP archive.
"""

import io
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import pandas as pd

from mpnas_kit import files
from mpnas_kit.deploy.model import Model
from mpnas_kit.domains.decathlon_files import (
    DECATHLON,
    TEST_IMAGES,
    category_ids,
    is_decathlon,
    unlabelled_images,
)
from mpnas_kit.domains.own_images import domain_list, require_folder
from mpnas_kit.domains.preparation import Progress, to_stderr
from mpnas_kit.errors import MpnasError, short, unknown
from mpnas_kit.runs.description import place
from mpnas_kit.values import Range, checked, require_type

RESULTS = "results.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # time of the file in the archive: the same predictions, same bytes


@dataclass(frozen=True, eq=False, repr=False)
class Submission:
    """A submission that was written. Returned by `submit`.

    path: the ZIP archive.
    table: one row per domain. Columns domain, images (predicted test images), official (test images
    that the organisers have), classes (of the model).
    notices: what a person should know, one sentence each.
    """

    path: pathlib.Path
    table: pd.DataFrame
    notices: tuple[str, ...]

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False))

    def __repr__(self) -> str:
        images = int(self.table["images"].sum())
        return f"Submission({str(self.path)!r}, {len(self.table)} domains, {images:,} images)"


@checked("submit")
def submit(
    model: Model,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    domains: Sequence[str] | None = None,
    batch_size: Annotated[int, Range(1, 1_000_000)] = 64,
    device: str | None = None,
    tell: Callable[[str], None] = to_stderr,
) -> Submission:
    """Predict the official test images of the Decathlon, and write them for its organisers.

    Predicted classes become the organisers' numbers by name. The archive is written as a whole,
    after all images are predicted, or not at all.

    model: model with domains of the Decathlon (see `decathlon`).
    data: the folder `decathlon-1.0`.
    out: ZIP archive to write. It ends with `.zip`.
    domains: names of the domains to predict; None: all of the Decathlon that the model has.
    batch_size: images that are computed at a time, at least 1.
    device: name of the device in torch; None: a GPU if there is one, else the CPU.
    tell: called with a line of text if it takes long; default: lines are written to stderr.

    Raises `MpnasError` if the model has no domain of the Decathlon, or a class that the organisers
    do not have, if an image cannot be read, or if an id is wrong.

    >>> mk.submit(mk.load("runs/mine"), "decathlon-1.0", "results.zip")  # doctest: +SKIP
    """
    require_type(model, Model, "model")
    folder, path = require_folder(data), place(files.as_path(out, "out"))
    if path.suffix != ".zip":
        raise MpnasError(f"out must be a file that ends with .zip, not {str(path)!r}.")
    if not is_decathlon(folder):
        raise MpnasError(
            f"{folder} is not laid out as the Decathlon: expected annotations/DOMAIN_train.json "
            "and data/DOMAIN in it."
        )
    names = _names(model, domains)
    numbers = {name: _numbers(model, folder, name) for name in names}
    images = {name: unlabelled_images(folder, name) for name in names}
    files.require_writable(path.parent)
    answers: list[dict[str, int]] = []
    for name in names:
        progress = Progress(f"domain {name!r}", tell)
        for start in range(0, len(images[name]), batch_size):
            part = images[name][start : start + batch_size]
            found = model.predict(
                [image.path for image in part], domain=name, batch_size=batch_size, device=device
            )
            answers += [
                {"image_id": image.id, "category_id": numbers[name][label]}
                for image, label in zip(part, found.labels, strict=True)
            ]
            progress.say("predicting", start + len(part), len(images[name]))
    files.write_bytes(path, _archive(answers))
    table = pd.DataFrame(
        [(n, len(images[n]), TEST_IMAGES[n], len(numbers[n])) for n in names],
        columns=["domain", "images", "official", "classes"],
    )
    return Submission(path, table, tuple(_notices(model, table)))


def _names(model: Model, domains: Any) -> tuple[str, ...]:
    """Return the domains to predict, in the order of the organisers."""
    known = [name for name in DECATHLON if name in model.domains]
    if domains is None and not known:
        raise MpnasError(
            f"the model has no domain of the Decathlon, but {', '.join(model.domains)}: expected "
            f"domains such as {DECATHLON[0]}."
        )
    chosen = known if domains is None else domain_list(domains)
    for name in chosen:
        if name not in known:
            raise unknown("domain of the Decathlon in this model", name, known)
    return tuple(name for name in known if name in chosen)


def _numbers(model: Model, folder: pathlib.Path, domain: str) -> dict[str, int]:
    """Return the organisers' number of every class of the model, by its name."""
    numbers = category_ids(folder, domain)
    for label in model.classes(domain):
        if label not in numbers:
            raise MpnasError(
                f"domain {domain!r}: the model has the class {short(label)}, which is not among "
                "the categories of the organisers: expected a model trained on their data."
            )
    return {label: numbers[label] for label in model.classes(domain)}


def _archive(answers: Sequence[dict[str, int]]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(RESULTS, _EPOCH)
        entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        archive.writestr(entry, json.dumps(answers))
    return content.getvalue()


def _notices(model: Model, table: pd.DataFrame) -> list[str]:
    names = table["domain"].tolist()
    missing = [name for name in DECATHLON if name not in names]
    others = [name for name in model.domains if name not in DECATHLON]
    notices = []
    if missing:
        notices.append(
            f"{RESULTS} has no predictions for {', '.join(missing)}: the organisers expect all ten "
            "domains."
        )
    if others:
        notices.append(f"{', '.join(others)} of the model is no domain of the Decathlon.")
    notices += [
        f"domain {row.domain!r} has {row.images:,} test images in this folder, but "
        f"{row.official:,} of the organisers: results may be refused."
        for row in table.itertuples()
        if row.images != row.official
    ]
    return notices
