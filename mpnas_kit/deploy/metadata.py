"""Metadata of exported files: what a file records of its domains. All formats have the same."""

import contextlib
import importlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta
from torch import nn

import mpnas_kit
from mpnas_kit import files
from mpnas_kit.deploy.formats import Format
from mpnas_kit.domains.signature import Signature
from mpnas_kit.engine.records import DomainInput
from mpnas_kit.errors import MpnasError

DOMAINS, VERSION, FORMAT, LICENSE = (  # keys of the metadata of a file
    "mpnas_kit.domains",
    "mpnas_kit.version",
    "mpnas_kit.format",
    "license",
)
CHECKSUM = "mpnas_kit.sha256"  # of ONNX files, also in their metadata (see `checksum_of`)


class _Recorded(DomainInput, kw_only=True):
    """What a file records of a domain: its input, classes, and name of its output or method."""

    classes: Annotated[list[str], Meta(min_length=2)]
    output: str


@dataclass(frozen=True)
class Exported:
    """An exported file that was read.

    signatures: images and classes of every domain, by name.
    outputs: name of every domain's output or method, by name of the domain.
    network: function of a domain's name that returns its network.
    """

    signatures: dict[str, Signature]
    outputs: dict[str, str]
    network: Callable[[str], nn.Module]


def metadata_of(
    signatures: Mapping[str, Signature],
    outputs: Mapping[str, str],
    format: Format,
    license: str,
) -> dict[str, str]:
    """Return the metadata of a file as text, by key. `read_domains` reads it.

    signatures: images and classes of every domain.
    outputs: name of every domain's output or method.
    format: format of the file.
    license: note on the licence of the weights.
    """
    domains = {
        domain: {
            **signature.record(),
            "classes": list(signature.classes),
            "output": outputs[domain],
        }
        for domain, signature in signatures.items()
    }
    return {
        VERSION: mpnas_kit.__version__,
        FORMAT: format,
        LICENSE: license,
        DOMAINS: json.dumps(domains, ensure_ascii=False),
    }


def read_domains(
    text: str | None, found: set[str], where: object
) -> tuple[dict[str, Signature], dict[str, str]]:
    """Return signatures and outputs (or methods) of the domains in a file, by domain.

    text: metadata `DOMAINS` of the file; None: it has none.
    found: names of the outputs or methods that the file has.
    where: the file, for an error.

    Raises `MpnasError` if the kit did not write the file, or it is damaged.
    """
    if text is None:
        raise MpnasError(
            f"{where} was not written by `mpnas export`: its metadata has no {DOMAINS!r}."
        )
    place = f"{where}, metadata {DOMAINS!r}"
    recorded = files.parse_json(text.encode("utf-8", "replace"), dict[str, _Recorded], place)
    if not recorded or any(one.output not in found for one in recorded.values()):
        raise MpnasError(f"{where} is damaged: it has no output for a domain of its metadata.")
    signatures = {
        domain: Signature(
            tuple(one.classes),
            one.channels,
            one.resolution,
            tuple(one.mean),
            tuple(one.deviation),
            one.how,
        )
        for domain, one in recorded.items()
    }
    return signatures, {domain: one.output for domain, one in recorded.items()}


def optional(extra: str, *names: str) -> list[Any]:
    """Return modules of an extra of the package. Raises `MpnasError` if one is not installed.

    extra: `onnx` or `mobile`.
    names: dotted names of the modules.
    """
    try:
        with quiet():
            return [importlib.import_module(name) for name in names]
    except ImportError:
        kind = {"onnx": "ONNX", "mobile": "ExecuTorch"}[extra]
        raise MpnasError(
            f"{kind} files need packages that are not installed: pip install 'mpnas-kit[{extra}]'."
        ) from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings of packages about others that they do not need."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
