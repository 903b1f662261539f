"""Suites of domains from text: those of the kit by name, others by module or file."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.planted import planted_suite
from mpnas_kit.domains.pocket_suite import pocket
from mpnas_kit.parts import Kind, Missing, absolute
from mpnas_kit.values import convert_list


def _lacks(value: Any) -> str | None:
    return None if isinstance(value, DomainSuite) else "domains (it is not a DomainSuite)"


SUITE = Kind("suite of domains", {"pocket": pocket, "planted": planted_suite}, _lacks)


def suite_from_text(text: str, domains: Sequence[str] | None = None) -> DomainSuite:
    """Return the suite written as `text`, which a person gave. Its module is imported.

    text: a suite of the kit, such as `pocket` or `pocket(full=True)`, or a suite of your own, such
    as `my_data.py:suite` or `my_pkg.data:make(root='photos')`.
    domains: names of the domains to return, in order; None: all. A function with an option
    `domains` gets these names, so that it need not load the other domains.

    Raises `MpnasError` if the text cannot be read or a domain is unknown.

    >>> mk.suite_from_text("pocket", ["digits", "letters"]).names
    ('digits', 'letters')
    """
    if domains is not None:
        domains = convert_list(domains, "domains", "names")
    supply = {} if domains is None else {"domains": domains}
    suite: DomainSuite = SUITE.parse(text, "data", supply)
    if domains is not None:
        suite = suite.select(domains)
    return replace(suite, source=absolute(text))


def read_suite(text: str, domains: Sequence[str], trust: bool) -> DomainSuite:
    """Return the suite that a run folder names.

    text: text form of the suite in the run folder.
    domains: names of the domains to return, in order.
    trust: whether its module may be imported.

    Raises `Unavailable` if it would need an import that is not trusted.
    """
    found = SUITE.read(text, trust, {"domains": tuple(domains)})
    if isinstance(found, Missing):
        raise found.error()
    suite: DomainSuite = found.select(domains)
    return replace(suite, source=text)
