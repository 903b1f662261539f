"""Facts about the images of a suite that a person should know before a training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import torch

from mpnas_kit.analysis.copies import MOST_IMAGES, find_copies
from mpnas_kit.domains.cached_images import CachedSplit
from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.domains.split import Split, Subset
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.spaces import pocket_space
from mpnas_kit.values import require_type

FEW = 10  # training images; a class with fewer is hardly learned
UNBALANCED = 5  # times as many images in the largest class as in the smallest
LEAST_MAP, MOST_MAP = 4, 8  # positions per side of a network's last map
_QUANTILES = {"least": 0.0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "most": 1.0}
_GREY = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}


@dataclass(frozen=True, eq=False, repr=False)
class SuiteFacts:
    """Facts about the images of a suite. Returned by `describe`. All tables are tidy.

    name: name of the suite.
    domains: one row per domain. Columns domain, classes, channels, resolution (pixels), train, val,
    test (images), largest, smallest (images of the largest and the smallest class that has
    training images, in train), imbalance (largest / smallest), few (classes with 1 to 9 training
    images), unreadable (files that are left out), suggested (resolution, pixels; nan if it is not
    known what the files were), reason (of the suggestion).
    classes: one row per domain and class. Columns domain, label, train, val, test (images).
    sizes: quantiles of the files' sizes. One row per domain and quantity (width, height, side,
    aspect). Columns domain, quantity, least, quarter, median, three_quarters, most. side is the
    shorter side (the longer one if images are padded), aspect is width / height. None: the images
    are not from files.
    originals: what every file was. Columns domain, split, path (when it was decoded), width,
    height (pixels), mode, format. None as for `sizes`.
    modes: number of files by mode and format. Columns domain, mode, format, images. None as for
    `sizes`.
    copies: all images that have a copy before them (see `analysis.find_copies`), with columns path
    and other_path if the images are from files.
    copy_counts: where copies are. Columns domain, split, other_domain, other_split, exact, near.
    unreadable: files that are left out. Columns domain, file (its name and the reason).
    findings: what a person should know, one sentence each, the most important first.
    sampled: what was not computed from all images, one sentence each.

    >>> facts = mk.describe(suite, space)
    >>> facts.domains["train"].tolist()
    [64, 64]
    """

    name: str
    domains: pd.DataFrame
    classes: pd.DataFrame
    sizes: pd.DataFrame | None
    originals: pd.DataFrame | None
    modes: pd.DataFrame | None
    copies: pd.DataFrame
    copy_counts: pd.DataFrame
    unreadable: pd.DataFrame
    findings: tuple[str, ...]
    sampled: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return all facts but those of single files as JSON values: tables as lists of rows."""
        tables = {
            "domains": self.domains,
            "classes": self.classes,
            "sizes": self.sizes,
            "modes": self.modes,
            "copies": self.copies,
            "copy_counts": self.copy_counts,
            "unreadable": self.unreadable,
        }
        return {
            "name": self.name,
            **{name: _records(table) for name, table in tables.items()},
            "findings": list(self.findings),
            "sampled": list(self.sampled),
        }

    def _repr_html_(self) -> str:
        found = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.findings)
        shown = self.domains.drop(columns="reason").dropna(axis="columns", how="all")
        return f"{shown.to_html(index=False)}<ul>{found}</ul>"

    def __repr__(self) -> str:
        count = f"{len(self.domains)} domain{'s' * (len(self.domains) != 1)}"
        return f"SuiteFacts({self.name!r}, {count}, {len(self.findings)} findings)"


def describe(suite: DomainSuite, space: SearchSpace | None = None) -> SuiteFacts:
    """Return what a person should know about the images of a suite before a training.

    Sizes, modes and formats of files are those that were recorded when they were decoded. If the
    images are not from files, there are none. Of more than 100,000 images in a split, so many are
    compared to find copies; `sampled` says so.

    Suggested resolution of a domain (ours), with s the product of the strides of the space: the
    largest multiple of s that is not above the side of three quarters of its images, so that most
    images are not enlarged; at least 4 s and at most 8 s, so that the last map of the network has 4
    to 8 positions per side. The side is the shorter side of an image, or the longer one if images
    are padded.

    suite: domains with their images.
    space: search space of the networks. None: the pocket space.

    >>> mk.describe(suite, space).copies.empty
    True
    """
    require_type(suite, DomainSuite, "suite")
    space = pocket_space(suite.resolution) if space is None else space
    require_type(space, SearchSpace, "space")
    classes = pd.concat([_classes(domain) for domain in suite], ignore_index=True)
    originals = _originals(suite)
    unreadable = pd.DataFrame(
        [item.partition(": ")[::2] for item in suite.left_out], columns=["domain", "file"]
    )
    unreadable = unreadable[unreadable["domain"].isin(suite.names)].reset_index(drop=True)
    sizes = None if originals is None else _sizes(suite, originals)
    rows = [_domain(domain, classes, unreadable, sizes, space) for domain in suite]
    domains = pd.DataFrame(rows)
    modes = None
    if originals is not None:
        modes = originals.groupby(["domain", "mode", "format"], sort=False).size()
        modes = modes.rename("images").reset_index()
    copies, counts, sampled = find_copies(suite)
    copies = _with_paths(copies, originals)
    return SuiteFacts(
        suite.name,
        domains,
        classes,
        sizes,
        originals,
        modes,
        copies,
        counts,
        unreadable,
        tuple(_findings(suite, domains, classes, sizes, modes, copies, counts)),
        tuple(
            f"{name}: copies were searched among {MOST_IMAGES:,} of its images, drawn at random."
            for name in sampled
        ),
    )


def suggested_resolution(side: float, stride: int) -> tuple[int, str]:
    """Return a resolution for images, and the reason (see `describe`).

    side: side that three quarters of the images reach, in pixels.
    stride: product of the strides of the space.

    >>> suggested_resolution(50, 8)
    (48, 'three quarters of the images have at least 50 pixels per side')
    """
    low, high = LEAST_MAP * stride, MOST_MAP * stride
    fitting = int(side) // stride * stride
    reach = f"three quarters of the images have at least {side:.0f} pixels per side"
    if fitting < low:
        return low, f"{LEAST_MAP} x the strides of the space ({stride}); most images are smaller"
    if fitting > high:
        return high, f"{MOST_MAP} x the strides of the space ({stride}); {reach}"
    return fitting, reach


def _classes(domain: Domain) -> pd.DataFrame:
    counts = {
        name: torch.bincount(domain.split(name).labels, minlength=len(domain.classes)).numpy()
        for name in SPLITS
    }
    return pd.DataFrame({"domain": domain.name, "label": list(domain.classes), **counts})


def _originals(suite: DomainSuite) -> pd.DataFrame | None:
    """Return what the files of the images were; None if a suite is not from files."""
    tables = []
    for domain in suite:
        for name in SPLITS:
            table = _originals_of(domain.split(name))
            if table is not None:
                tables.append(table.assign(domain=domain.name, split=name))
    if not tables:
        return None
    columns = ["domain", "split", "path", "width", "height", "mode", "format"]
    return pd.concat(tables, ignore_index=True)[columns]


def _originals_of(split: Split) -> pd.DataFrame | None:
    if isinstance(split, CachedSplit):
        return split.originals()
    if isinstance(split, Subset):
        table = _originals_of(split.split)
        return None if table is None else table.iloc[split.index.numpy()].reset_index(drop=True)
    return None


def _sizes(suite: DomainSuite, originals: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for name, own in originals.groupby("domain", sort=False):
        pair = own[["width", "height"]]
        padded = suite[str(name)].how == "pad"
        quantities = {
            "width": own["width"],
            "height": own["height"],
            "side": pair.max(axis=1) if padded else pair.min(axis=1),
            "aspect": own["width"] / own["height"],
        }
        for quantity, values in quantities.items():
            found = np.quantile(values, list(_QUANTILES.values()))
            about = dict(zip(_QUANTILES, found.tolist(), strict=True))
            rows.append({"domain": name, "quantity": quantity, **about})
    return pd.DataFrame(rows)


def _domain(
    domain: Domain,
    classes: pd.DataFrame,
    unreadable: pd.DataFrame,
    sizes: pd.DataFrame | None,
    space: SearchSpace,
) -> dict[str, Any]:
    train = classes.loc[classes["domain"] == domain.name, "train"]
    there = train[train > 0]
    side = None if sizes is None else _side(sizes, domain.name)
    suggested: tuple[float, str | None] = (np.nan, None)
    if side is not None:
        suggested = suggested_resolution(side, space.total_stride)
    return {
        "domain": domain.name,
        "classes": len(domain.classes),
        "channels": domain.channels,
        "resolution": domain.resolution,
        **{name: len(domain.split(name)) for name in SPLITS},
        "largest": int(there.max()),
        "smallest": int(there.min()),
        "imbalance": float(there.max() / there.min()),
        "few": int((there < FEW).sum()),
        "unreadable": int((unreadable["domain"] == domain.name).sum()),
        "suggested": suggested[0],
        "reason": suggested[1],
    }


def _side(sizes: pd.DataFrame, domain: str) -> float | None:
    """Return the side that three quarters of the images of a domain reach."""
    own = sizes[(sizes["domain"] == domain) & (sizes["quantity"] == "side")]
    return float(own["quarter"].iloc[0]) if len(own) else None


def _with_paths(copies: pd.DataFrame, originals: pd.DataFrame | None) -> pd.DataFrame:
    """Return the copies with the paths of both files."""
    if originals is None or copies.empty:
        return copies
    place = originals.groupby(["domain", "split"], sort=False).cumcount()
    paths = originals.assign(image=place).set_index(["domain", "split", "image"])["path"]
    known = {}
    for prefix in ("", "other_"):
        keys = pd.MultiIndex.from_frame(copies[[f"{prefix}{k}" for k in paths.index.names]])
        known[f"{prefix}path"] = paths.reindex(keys).to_numpy()
    return copies.assign(**known)


# Findings -----------------------------------------------------------------------------------------


def _findings(
    suite: DomainSuite,
    domains: pd.DataFrame,
    classes: pd.DataFrame,
    sizes: pd.DataFrame | None,
    modes: pd.DataFrame | None,
    copies: pd.DataFrame,
    counts: pd.DataFrame,
) -> Iterator[str]:
    for row in domains.itertuples():
        if row.unreadable:
            one = row.unreadable == 1
            files = "1 file is" if one else f"{row.unreadable:,} files are"
            because = f"because {'it' if one else 'they'} cannot be read"
            yield f"{row.domain}: {files} left out {because}."
    yield from _absent(classes)
    yield from _leaks(counts)
    apart = copies[(copies["domain"] == copies["other_domain"])]
    apart = apart[apart["label"] != apart["other_label"]]
    for name, count in apart.groupby("domain", sort=False).size().items():
        of = "1 copy has" if count == 1 else f"{count:,} copies have"
        yield f"{name}: {of} another class than the image before it, so one of the two is wrong."
    for row in domains.itertuples():
        if row.imbalance >= UNBALANCED:
            yield (
                f"{row.domain}: the largest class has {row.imbalance:.0f} times as many training "
                f"images as the smallest ({row.largest:,} and {row.smallest:,}). Look at the macro "
                "accuracy beside top-1."
            )
        if row.few:
            has = "1 class has" if row.few == 1 else f"{row.few:,} classes have"
            yield f"{row.domain}: {has} fewer than {FEW} training images."
    if sizes is not None and modes is not None:
        yield from _enlarged(suite, sizes)
        yield from _mixed(suite, modes)


def _absent(classes: pd.DataFrame) -> Iterator[str]:
    for name, own in classes.groupby("domain", sort=False):
        for split in SPLITS:
            absent = own.loc[own[split] == 0, "label"].tolist()
            if absent:
                have = "has" if len(absent) == 1 else "have"
                yield (
                    f"{name}: {len(absent):,} of {len(own):,} classes {have} no image in {split}: "
                    f"{_some(absent)}."
                )


def _leaks(counts: pd.DataFrame) -> Iterator[str]:
    """Yield sentences about copies: in other splits, in other domains, in the same split."""
    same = counts["domain"] == counts["other_domain"]
    one_split = counts["split"] == counts["other_split"]
    for name, rows in counts[same & ~one_split].groupby("domain", sort=False):
        pairs = [f"{r.split} of {r.other_split} {r.exact + r.near:,}" for r in rows.itertuples()]
        yield (
            f"{name}: {_copies(rows)} of images in another split ({', '.join(pairs)}), so results "
            "may be too good."
        )
    others = counts[~same].groupby(["domain", "other_domain"], sort=False)
    for (name, other), rows in others:
        yield f"{name}: {_copies(rows)} of images of domain {other}."
    for name, rows in counts[same & one_split].groupby("domain", sort=False):
        yield f"{name}: {_copies(rows)} of images in the same split ({', '.join(rows['split'])})."


def _copies(rows: pd.DataFrame) -> str:
    """Return the copies of some rows of the counts in words."""
    counts = {kind: int(rows[kind].sum()) for kind in ("exact", "near")}
    words = " and ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
    return f"{words} cop{'y' if sum(counts.values()) == 1 else 'ies'}"


def _enlarged(suite: DomainSuite, sizes: pd.DataFrame) -> Iterator[str]:
    for domain in suite:
        side = _side(sizes, domain.name)
        if side is not None and side < domain.resolution:
            yield (
                f"{domain.name}: a quarter of the images is enlarged to {domain.resolution} "
                f"pixels, because their side is at most {side:.0f}."
            )


def _mixed(suite: DomainSuite, modes: pd.DataFrame) -> Iterator[str]:
    for name, own in modes.groupby("domain", sort=False):
        grey = int(own.loc[own["mode"].isin(_GREY), "images"].sum())
        whole = int(own["images"].sum())
        if suite[str(name)].channels == 3 and grey:
            yield (
                f"{name}: {grey:,} of {whole:,} images are grey; they become RGB like the others."
            )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(name if len(name) <= 40 else f"{name[:39]}…" for name in names[:3])
    return f"{shown} and {len(names) - 3:,} more" if len(names) > 3 else shown


def _records(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    """Return a table as JSON values. None stands for nan."""
    if table is None:
        return None
    plain = table.astype(object).where(table.notna(), None)
    return [
        {str(k): v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
        for row in plain.to_dict("records")
    ]
