"""A time chart: panels of lines over the steps of a stage, one line per domain.

`js/src/views/lines.js` draws it. Numbers travel as bytes of float32, not as text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets
from numpy.typing import ArrayLike

from mpnas_kit import plots
from mpnas_kit.errors import unknown
from mpnas_kit.settings import require
from mpnas_kit.widgets.view import STYLE, script


@dataclass(frozen=True, eq=False)
class Group:
    """One line per domain.

    values: float (domains, steps); nan: no value in this step.
    title: what sets the lines apart from others of their panel; empty: they are the only ones.
    dashed: whether the lines are dashed.
    """

    values: ArrayLike
    title: str = ""
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class Panel:
    """One plot of a time chart.

    title: what the lines show, with its unit.
    steps: steps of the values, ascending, (steps,).
    groups: lines.
    percent: whether the values are shares, written in percent.
    references: horizontal lines, by label.
    """

    title: str
    steps: ArrayLike
    groups: Sequence[Group]
    percent: bool = False
    references: Mapping[str, float] = field(default_factory=dict)


class Lines(anywidget.AnyWidget):
    """Panels of lines over the steps of a stage, with one crosshair, one zoom and one legend.

    domains: names of the domains, in order. Every group of a panel has a line for each.
    of: names of all domains of the run, which set the colours. None: `domains`.

    These attributes can be read, set and observed. An invalid value raises `MpnasError`.
    hidden: names of domains whose lines are hidden.
    domain: name of the domain whose lines stand out; empty: none.
    step: marked step; None: none.
    zoom: first and last step that are shown; []: all.
    smoothing: share of the old average in the moving average that is drawn, 0 (none) to 0.99.
    log: whether the vertical axes are logarithmic.
    """

    _esm = script("lines.js")
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)
    hidden: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    domain = traitlets.Unicode("").tag(sync=True)
    step = traitlets.Int(None, allow_none=True).tag(sync=True)
    zoom: Any = traitlets.List(traitlets.Float()).tag(sync=True)
    smoothing = traitlets.Float(0.0).tag(sync=True)
    log = traitlets.Bool(False).tag(sync=True)

    def __init__(self, domains: Sequence[str], of: Sequence[str] | None = None) -> None:
        super().__init__()
        self.domains = list(domains)
        self._colors = colors(self.domains, of)
        self.panels: list[Panel] = []
        self.show([])

    def show(self, panels: Iterable[Panel], note: str = "") -> None:
        """Show panels. What is hidden, marked or zoomed stays.

        note: remark in words, such as what a point is the mean of.
        """
        self.panels = list(panels)
        self.content = {
            "lines": [{"name": d, "color": self._colors[d]} for d in self.domains],
            "panels": [_packed(panel) for panel in self.panels],
            "note": note,
        }

    def table(self) -> pd.DataFrame:
        """Return the values as a tidy table.

        One row per panel, group, domain and step that has a value. Columns: panel, lines (title of
        the group), domain, step, value.
        """
        parts = []
        for panel in self.panels:
            steps = np.asarray(panel.steps, dtype=np.int64)
            for group in panel.groups:
                values = np.asarray(group.values, dtype=np.float64)
                rows, columns = np.nonzero(np.isfinite(values))
                parts.append(
                    pd.DataFrame(
                        {
                            "panel": panel.title,
                            "lines": group.title,
                            "domain": np.array(self.domains, dtype=object)[rows],
                            "step": steps[columns],
                            "value": values[rows, columns],
                        }
                    )
                )
        columns_of = ["panel", "lines", "domain", "step", "value"]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns_of)

    def code(self, name: str) -> list[str]:
        """Return the lines of Python that set what a person has set here.

        name: how the code reaches this chart, such as `explorer.chart`.
        """
        usual = {"hidden": [], "zoom": [], "smoothing": 0.0, "log": False}
        now = {trait: getattr(self, trait) for trait in usual}
        return [f"{name}.{t} = {now[t]!r}" for t in usual if now[t] != usual[t]]

    @traitlets.validate("hidden", "domain")
    def _known(self, proposal: Any) -> Any:
        value = proposal["value"]
        for name in [value] if isinstance(value, str) and value else list(value):
            if name not in self.domains:
                raise unknown("domain", name, self.domains)
        return value

    @traitlets.validate("zoom")
    def _part(self, proposal: Any) -> list[float]:
        zoom = list(proposal["value"])
        require(
            not zoom or (len(zoom) == 2 and zoom[0] < zoom[1]),
            f"zoom must be the first and the last step to show, or [], not {zoom}.",
        )
        return zoom

    @traitlets.validate("smoothing")
    def _share(self, proposal: Any) -> float:
        value = float(proposal["value"])
        require(0 <= value <= 0.99, f"smoothing must be 0 to 0.99, not {value}.")
        return value


def colors(domains: Sequence[str], of: Sequence[str] | None) -> dict[str, str]:
    """Return the colour of every domain, as all explorers of a run have it.

    of: names of all domains of the run. None: `domains`.
    """
    known = list(of or ())
    return plots.domain_variables([*known, *[d for d in domains if d not in known]])


def smoothing(steps: int) -> float:
    """Return the smoothing that a chart begins with. Histories of few steps have none."""
    return 0.9 if steps > 300 else 0.0


def _packed(panel: Panel) -> dict[str, Any]:
    return {
        "title": panel.title,
        "percent": panel.percent,
        "steps": _bytes(panel.steps),
        "references": [{"label": k, "value": float(v)} for k, v in panel.references.items()],
        "groups": [
            {"title": g.title, "dashed": g.dashed, "values": _bytes(g.values)} for g in panel.groups
        ],
    }


def _bytes(values: ArrayLike) -> bytes:
    return np.ascontiguousarray(values, dtype="<f4").tobytes()
