"""The Visual Domain Decathlon as a suite: ten domains of natural images, or some of them."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from mpnas_kit.domains.cached_suite import Bad, Parts, Treatment, suite_of
from mpnas_kit.domains.decathlon_files import (
    NOT_MIRRORED,
    OfficialVal,
    annotation_files,
    domains_in,
    list_official,
    require_domains,
)
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.known_suites import Origin
from mpnas_kit.domains.own_images import domain_list, require_folder, source_text
from mpnas_kit.domains.splitting import SHARES
from mpnas_kit.values import SEED, Range, checked

DECATHLON_RESOLUTION = 72  # pixels of the shorter side of every image of the organisers
_MEANING: dict[OfficialVal, str] = {
    "test": "is the test split here, and val is taken out of the official train split",
    "val": "is the val split here, and test is taken out of the official train split",
    "train": "is joined with the official train split here, and val and test are taken out of both",
}


@checked("decathlon")
def decathlon(
    path: str | os.PathLike[str],
    domains: Sequence[str] | None = None,
    *,
    official_val: OfficialVal = "test",
    resolution: Annotated[int, Range(1, 4096)] = DECATHLON_RESOLUTION,
    how: Literal["crop", "pad", "stretch"] = "crop",
    channels: Literal[1, 3] | None = None,
    shares: Sequence[Any] = SHARES,
    seed: Annotated[int, SEED] = 0,
    bad: Bad = "stop",
    flip: bool | None = None,
) -> DomainSuite:
    """Return the domains of the Visual Domain Decathlon that are in a folder (arXiv 1705.08045).

    The folder has `annotations` and `data`, as the organisers lay them out. The official test
    images have no labels: `mpnas submit` predicts them. So the test split of the suite is the
    official val split, and its val split is taken out of the official train split, by class and at
    random. The organisers' val images do not represent their test images: compare no accuracy on
    one with an accuracy on the other.

    path: the folder, usually named `decathlon-1.0`.
    domains: names of the domains to return, in order; None: all whose images are there.
    official_val: the split of the suite that has the official val images: `test`, `val` (then test
    is taken out of train) or `train` (then val and test are taken out of both).
    resolution: height and width of the images, pixels, 1 to 4096. Default: that of the organisers.
    how, channels, shares, seed, bad: see `folders`.
    flip: whether a mirrored image keeps its label; None: no in gtsrb, omniglot and svhn, yes in the
    others.

    Raises `MpnasError` that names the file and the id of the image if something is wrong.

    >>> suite = mk.decathlon("decathlon-1.0", ["aircraft", "dtd"])  # doctest: +SKIP
    """
    treatment = Treatment(resolution, how, channels, shares, seed=seed)  # type: ignore[arg-type]
    options = {**vars(treatment), "bad": bad, "flip": flip, "official_val": official_val}
    source = source_text("decathlon", path, options)
    folder = require_folder(path)
    notices = [f"Decathlon: the official val split {_MEANING[official_val]}."]
    if domains is None:
        names, missing = domains_in(folder)
        notices += [
            f"Decathlon: {name} is left out, because {folder / 'data' / name} is missing."
            for name in missing
        ]
    else:
        names = domain_list(domains)
        require_domains(folder, names)

    def parts() -> Parts:
        return [
            (
                list_official(folder, name, official_val),
                replace(treatment, flip=name not in NOT_MIRRORED if flip is None else flip),
            )
            for name in names
        ]

    tables = tuple(str(file) for name in names for file in annotation_files(folder, name))
    suite = suite_of(Origin(source, tuple(names), tables=tables), parts, folder.name, bad)
    return replace(suite, notices=(*notices, *suite.notices))
