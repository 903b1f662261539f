"""Claims about finished runs as text for a terminal."""

from textwrap import fill

from mpnas_kit.analysis.evidence import Evidence
from mpnas_kit.notebook.tables import claims_table, missing_claims_table

WIDTH = 100


def claims_text(evidence: Evidence) -> str:
    """Return the claims: each in a line, what the runs say in the next one, and the notes.

    evidence: what runs say about claims.
    """
    parts = [
        f"{row.claim}\n  {row.verdict}: {row.difference} ({row.interval}), p {row.p}"
        for row in claims_table(evidence).itertuples()
    ]
    parts += [
        f"{row.claim}\n  not measured: {row.lacks}"
        for row in missing_claims_table(evidence).itertuples()
    ]
    return "\n".join([*parts, "", fill(evidence.note, WIDTH)])
