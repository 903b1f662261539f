"""View of points in a plane: accuracy against a cost."""

import anywidget
import traitlets

from mpnas_kit.widgets.view import STYLE, script


class Scatter(anywidget.AnyWidget):
    """One mark per row of a comparison, with its seeds, its interval and its label.

    content: `title`, `x_title`, `y_title`, `note`; `points`, each with `key`, `label`, `x`, `y`,
    `low` and `high` (None: no interval), `own` (in the accent colour), `best` (its label comes
    first), `shape` (index) and `seeds` (each with `x`, `y` and `name`); `front`, [x, y] of the
    points on the Pareto front. Accuracies are shares, 0 to 1.
    selected: key of the selected point; empty: none.
    x_log: whether the axis of the cost is logarithmic.
    """

    _esm = script("scatter.js")
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)
    x_log = traitlets.Bool(False).tag(sync=True)
