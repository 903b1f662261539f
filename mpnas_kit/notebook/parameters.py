"""The parameters of a notebook, checked in the notebook itself.

papermill passes any name on and takes `true` on a command line for text. So the cell after a
notebook's parameters calls `check_parameters`, and a run with a wrong one ends there, in seconds,
with one sentence.
"""

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.settings import convert

MARK = "# Parameters"  # how papermill begins the cell it injects, and our notebooks their own


def field_docs(cls: type) -> dict[str, str]:
    """What the string under each field of a dataclass says, by field."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        told = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and told:
            docs[field.target.id] = str(ast.literal_eval(below.value))  # type: ignore[attr-defined]
    return docs


def check_parameters(namespace: dict[str, Any], config: type | None = None) -> dict[str, Any]:
    """Check the parameters of the running notebook, in the cell after them.

    Called as `check_parameters(globals(), SearchConfig)`. The parameters are the names of the
    notebook's own cell that begins with `# Parameters`; a name has the type of the field of
    `config` that is called so, else the one it is annotated with. Returns those that are fields of
    `config`; sets the others in `namespace`, each of its type.

    Raises `MpnasError` for a name that papermill has injected and the notebook does not have, and
    for a value of another type. From here on an `MpnasError` is shown without a traceback.
    """
    _show_one_sentence()
    own, injected = _cells(namespace.get("In", []))
    for name in injected:
        if name not in own:
            raise unknown("parameter", name, own)
    fields = typing.get_type_hints(config) if config is not None else {}
    settings = {}
    for name, annotation in own.items():
        if name in fields:
            settings[name] = convert(namespace[name], fields[name] | None, f"parameter {name}")
        else:
            hint = eval(compile(ast.Expression(annotation), name, "eval"), namespace)
            namespace[name] = convert(namespace[name], hint, f"parameter {name}")
    return settings


def _cells(executed: Iterable[str]) -> tuple[dict[str, ast.expr], list[str]]:
    """The names of the notebook's own parameters with their types, and the injected names."""
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
    """In a kernel, show an `MpnasError` as its sentence; the cell fails all the same."""
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


def options(cls: type) -> dict[str, tuple[Any, str, Any]]:
    """For every field of a config its type, what it says of itself, and its default."""
    docs, hints = field_docs(cls), typing.get_type_hints(cls)
    plain = cls()
    return {
        f.name: (hints[f.name], docs.get(f.name, ""), getattr(plain, f.name))
        for f in dataclasses.fields(cls)
    }
