"""The suite that the options of a command name."""

import argparse
from collections.abc import Sequence
from typing import Annotated

from mpnas_kit.domains.cached_suite import Bad
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.suites import suite_from_text, suite_text
from mpnas_kit.errors import MpnasError
from mpnas_kit.settings import convert
from mpnas_kit.values import Range

RESOLUTION = Annotated[int, Range(1, 4096)]


def data_text(given: argparse.Namespace) -> str | None:
    """Return the text form of the suite that --data, --resolution and --bad name, if any does."""
    hints = {"resolution": RESOLUTION, "bad": Bad}
    options = {
        name: convert(getattr(given, name), hint, f"--{name}")
        for name, hint in hints.items()
        if getattr(given, name) is not None
    }
    if given.data is not None:
        return suite_text(given.data, **options)
    for name in options:
        raise MpnasError(f"--{name} is for images of your own: expected --data too.")
    return None


def given_suite(given: argparse.Namespace, domains: Sequence[str] | None) -> DomainSuite | None:
    """Return the suite that --data, --resolution and --bad name; None: --data is not given.

    domains: names of the domains that are taken; None: all.
    """
    text = data_text(given)
    return None if text is None else suite_from_text(text, domains)
