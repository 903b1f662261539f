"""The model card: what an exported file is, in Markdown for people and in JSON for programs.

It has nothing of the machine that wrote it, and no times.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mpnas_kit
from mpnas_kit.analysis.sharing import account
from mpnas_kit.domains.signature import Signature
from mpnas_kit.errors import MpnasError
from mpnas_kit.training.result import TrainResult

Z = 1.959964  # standard normal quantile of a two-sided interval of 95 %


def wilson(accuracy: float, images: int) -> tuple[float, float]:
    """Return the Wilson score interval of an accuracy, at 95 % (Wilson 1927).

    With n images, accuracy p and z = 1.96, centre and half width are

        centre = (p + z^2 / 2n) / (1 + z^2 / n)
        half = z / (1 + z^2 / n) * sqrt(p (1 - p) / n + z^2 / 4n^2)

    It says how far chance in the choice of the images may move the accuracy. It says nothing about
    other seeds.

    accuracy: share of images that are classified correctly, 0 to 1.
    images: their number, at least 1.

    >>> [round(x, 3) for x in wilson(0.9, 100)]
    [0.826, 0.945]
    """
    stretch = 1 + Z**2 / images
    centre = (accuracy + Z**2 / (2 * images)) / stretch
    variance = accuracy * (1 - accuracy) / images + Z**2 / (4 * images**2)
    half = Z / stretch * math.sqrt(variance)
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Card:
    """A model card.

    content: all facts, as JSON values.
    """

    content: dict[str, Any]

    @property
    def markdown(self) -> str:
        """The card as Markdown."""
        facts = self.content
        rows = []
        for domain in facts["domains"]:
            accuracies = {a["split"]: _accuracy(a) for a in domain["accuracies"]}
            cells = (
                domain["name"],
                str(len(domain["classes"])),
                accuracies["val"],
                accuracies["test"],
                _number(domain["parameters"]),
                _number(domain["multiply_adds"]),
            )
            rows.append(f"| {' | '.join(cells)} |")
        size = facts["domains"][0]["resolution"]
        lines = [
            f"# Model card of {facts['file']}",
            "",
            f"Made with MPNAS Kit {facts['kit']} by `{facts['command']}`.",
            "",
            "| domain | classes | val | test | parameters | multiply-adds |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "Accuracies are top-1, with 95 % Wilson intervals and the number of images. Macro: "
            "mean recall over the classes that have images. Multiply-adds are those of one image; "
            "papers write FLOPs for them. Domains share parameters.",
            "",
            f"- File: {facts['bytes']:,} bytes, layout `{facts['layout']}`.",
            f"- Input: `images`, uint8 (batch, 3, {size}, {size}), RGB; grey images repeated. The "
            "normalisation is inside.",
            f"- Checked: logits differ from those of torch by at most {facts['difference']:.0e}.",
            f"- Data: {facts['data']}.",
            f"- Licence of the weights: {facts['license']}.",
            "",
            "## Classes",
            "",
            *(f"- {d['name']}: {', '.join(d['classes'])}" for d in facts["domains"]),
        ]
        return "\n".join(lines) + "\n"


def card_of(
    result: TrainResult,
    signatures: Mapping[str, Signature],
    facts: Mapping[str, Any],
) -> Card:
    """Return the card of an exported file.

    result: result of the training.
    signatures: images and classes of the domains in the file, by name.
    facts: file (name), layout, bytes, difference, data, license, command.
    """
    sizes = _sizes(result)
    domains = []
    for name, signature in signatures.items():
        rows = result.evaluation[result.evaluation["domain"] == name]
        accuracies = []
        for row in rows.itertuples():
            low, high = wilson(row.accuracy, row.images)
            accuracies.append(
                {
                    "split": row.split,
                    "images": int(row.images),
                    "accuracy": float(row.accuracy),
                    "macro_accuracy": None if result.recalls is None else float(row.macro_accuracy),
                    "low": low,
                    "high": high,
                }
            )
        domains.append(
            {
                "name": name,
                "arch": result.paths[name].arch,
                "classes": list(signature.classes),
                **signature.record(),
                "accuracies": accuracies,
                **sizes.get(name, {"parameters": None, "multiply_adds": None}),
            }
        )
    return Card({"kit": mpnas_kit.__version__, **facts, "domains": domains})


def _sizes(result: TrainResult) -> dict[str, dict[str, int]]:
    """Return parameters and multiply-adds by domain; empty if a block cannot be counted."""
    try:
        table = account(result.structure, result.paths).domains
    except MpnasError:
        return {}
    return {
        row.domain: {
            "parameters": int(row.parameters + row.norm + row.head),
            "multiply_adds": int(row.multiply_adds),
        }
        for row in table.itertuples()
    }


def _accuracy(entry: Mapping[str, Any]) -> str:
    interval = f"{entry['low']:.1%} to {entry['high']:.1%}"
    macro = entry["macro_accuracy"]
    beside = "" if macro is None else f"; macro {macro:.1%}"
    return f"{entry['accuracy']:.1%} ({interval}; {entry['images']:,}){beside}"


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
