"""Parameters of a notebook, checked inside the notebook.

papermill accepts any parameter name and passes `true` from a command line as text. So the cell
after the parameters calls `check_parameters`. If a parameter is wrong, the notebook ends there,
within seconds, with one sentence.
"""

import ast
import typing
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from mpnas_kit.engine.loop import CALLBACK, Callback
from mpnas_kit.engine.trackers import Tracker
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.parts import split_list
from mpnas_kit.settings import convert
from mpnas_kit.tracking.texts import TRACKER

MARK = "# Parameters"  # begins the cell that papermill injects, and the notebook's own


def check_parameters(namespace: dict[str, Any], config: type | None = None) -> dict[str, Any]:
    """Check the parameters of the running notebook. The cell after the parameters calls it.

    Parameters are the names in the notebook's own cell that begins with `# Parameters`. A parameter
    has the type of the field of `config` with the same name, or else the type that the cell
    declares. Returns the values of the parameters that are fields of `config`, by name. Sets the
    other parameters in `namespace`, converted to their types. After the call, an `MpnasError` is
    shown without a traceback.

    namespace: `globals()` of the notebook.
    config: a config class, such as `SearchConfig`; None: no parameter is a field of a config.

    Raises `MpnasError` if papermill injected a name that the notebook does not have, if a value has
    a wrong type, or if the parameters cell was not run.

    >>> settings = mk.notebook.check_parameters(globals(), mk.SearchConfig)  # doctest: +SKIP
    """
    _show_one_sentence()
    own, injected = _cells(namespace.get("In", []))
    for name in injected:
        if name not in own:
            raise unknown("parameter", name, own)
    fields = typing.get_type_hints(config, include_extras=True) if config is not None else {}
    settings = {}
    for name, annotation in own.items():
        if name in fields:
            settings[name] = convert(namespace[name], fields[name] | None, f"parameter {name}")
        else:
            hint = eval(compile(ast.Expression(annotation), name, "eval"), namespace)
            namespace[name] = convert(namespace[name], hint, f"parameter {name}")
    return settings


def _cells(executed: Iterable[str]) -> tuple[dict[str, ast.expr], list[str]]:
    """Return the types of the notebook's own parameters by name, and the injected names."""
    own: dict[str, ast.expr] | None = None
    injected: list[str] = []
    for source in executed:
        if not source.lstrip().startswith(MARK):
            continue
        statements = ast.parse(source).body
        typed = {
            s.target.id: s.annotation
            for s in statements
            if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
        }
        if typed:
            own, injected = typed, []
        else:
            targets = [t for s in statements if isinstance(s, ast.Assign) for t in s.targets]
            injected += [t.id for t in targets if isinstance(t, ast.Name)]
    if own is None:
        raise MpnasError(
            "the parameters cell was not run: expected a cell that begins with `# Parameters` and "
            "has typed lines such as `steps: Optional[int] = None`."
        )
    return own, injected


def _show_one_sentence() -> None:
    """In a kernel, show an `MpnasError` as one sentence. The cell still fails."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((MpnasError,), _sentence)


def _sentence(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType | None,
    tb_offset: int | None = None,
) -> list[str]:
    lines = [f"{kind.__name__}: {error}"]
    shell._showtraceback(kind, error, lines)
    return lines


def whole_numbers(text: str, where: str) -> list[int]:
    """Return the whole numbers in a text, separated by commas.

    text: numbers, such as `1, 8, 64`.
    where: name of the parameter, for the error.

    Raises `MpnasError` if an item is not a whole number.

    >>> mk.notebook.whole_numbers("1, 8, 64", "devices")
    [1, 8, 64]
    """
    return [convert(item, int, where) for item in split_list(text)]


def read_callbacks(text: str | None) -> list[Callback]:
    """Return the callbacks in a text, separated by commas. Their modules are imported.

    text: callbacks, such as `my_module:Logger(path='log.txt')`; None or empty: no callback.

    Raises `MpnasError` if a callback cannot be imported or made.
    """
    return [CALLBACK.parse(item) for item in split_list(text or "")]


def read_trackers(text: str | None) -> list[Tracker]:
    """Return the trackers in a text, separated by commas.

    text: trackers, such as `tensorboard, mlflow(experiment='mine')`; None or empty: no tracker.

    Raises `MpnasError` if a tracker is unknown, or its package is not installed.

    >>> mk.notebook.read_trackers("tensorboard(folder='logs')")
    [TensorBoard(folder='logs', pictures_every=None)]
    """
    return [TRACKER.parse(item) for item in split_list(text or "")]
