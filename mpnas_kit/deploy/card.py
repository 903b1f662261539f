"""The model card: what an exported file is, in Markdown for people and in JSON for programs.

It has no paths, names or dates of the machine that wrote it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import mpnas_kit
from mpnas_kit.analysis.sharing import account
from mpnas_kit.deploy.formats import Quantization, Written
from mpnas_kit.deploy.interval import in_words, wilson
from mpnas_kit.deploy.pte import MOST_IMAGES, method_names
from mpnas_kit.deploy.session import input_names
from mpnas_kit.domains.signature import Signature
from mpnas_kit.errors import MpnasError
from mpnas_kit.training.result import TrainResult


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
            f"- File: {facts['bytes']:,} bytes, format `{facts['format']}`.",
            f"- {_interface(facts)}",
            f"- Checked: {_checked(facts)}.",
            f"- Data: {facts['data']}.",
            f"- Licence of the weights: {facts['license']}.",
            *_before_and_after(facts["quantization"]),
            "",
            "## Classes",
            "",
            *(f"- {d['name']}: {', '.join(d['classes'])}" for d in facts["domains"]),
        ]
        return "\n".join(lines) + "\n"


def card_of(
    result: TrainResult,
    signatures: Mapping[str, Signature],
    written: Written,
    facts: Mapping[str, Any],
) -> Card:
    """Return the card of an exported file.

    result: result of the training.
    signatures: images and classes of the domains in the file, by name.
    written: the file.
    facts: format, data, license, command.
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
    quantization = written.quantization
    of_file = {
        "file": written.path.name,
        "bytes": written.bytes,
        "difference": written.difference,
        "quantization": None if quantization is None else asdict(quantization),
    }
    return Card({"kit": mpnas_kit.__version__, **facts, **of_file, "domains": domains})


def _interface(facts: Mapping[str, Any]) -> str:
    """Return a sentence on what goes in and what comes out."""
    sizes = {domain["name"]: domain["resolution"] for domain in facts["domains"]}
    is_pte = facts["format"] == "pte"
    names = method_names(sizes) if is_pte else input_names(sizes)
    given: dict[int, dict[str, None]] = {}  # names of inputs or methods, by resolution
    for domain, size in sizes.items():
        given.setdefault(size, {})[f"`{names[domain]}`"] = None
    each = "; ".join(
        f"{', '.join(of_size)}: uint8 (batch, 3, {size}, {size})" for size, of_size in given.items()
    )
    words = f"Methods: {each}; 1 to {MOST_IMAGES} images" if is_pte else f"Input: {each}"
    return f"{words}. RGB; grey images repeated. The normalisation is inside."


def _checked(facts: Mapping[str, Any]) -> str:
    if facts["quantization"] is None:
        return f"logits differ from those of torch by at most {facts['difference']:.0e}"
    return "int8 was compared with float weights, see below"


def _before_and_after(quantization: Mapping[str, Any] | None) -> list[str]:
    """Return the lines about int8."""
    if quantization is None:
        return []
    found = Quantization(**quantization)
    return [
        "",
        "## Float and int8",
        "",
        f"Ranges of activations come from {found.calibrated:,} images. Times are medians of one "
        "thread, on the machine that made the file.",
        "",
        "| | float | int8 |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in found.rows),
    ]


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
    macro = entry["macro_accuracy"]
    beside = "" if macro is None else f"; macro {macro:.1%}"
    return f"{in_words(entry['accuracy'], entry['images'])}{beside}"


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
