"""Configs: settings as frozen dataclasses that are checked and can be read from text and JSON.

A field of a config is a number, a text, a truth value, None, or a part (see `parts`) such as a
reward. A number is annotated with its range: `steps: Annotated[int, Range(1, 10_000)]`. A field
that takes a part is annotated with its kind: `reward: Annotated[Reward, REWARD]`.
Command line, notebook parameters and config.json use one text form. So a run folder holds what a
person types.
"""

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.parts import Kind, text_name, to_text
from mpnas_kit.values import convert_plain, describe_plain, is_plain, type_hints

T = TypeVar("T")


def require(true: bool, message: str) -> None:
    """Raise `MpnasError(message)` unless `true`. Configs validate their fields with it."""
    if not true:
        raise MpnasError(message)


def check(config: object, where: str | None = None) -> None:
    """Convert every field of a config or a part to its annotated type, in place.

    A field that is neither plain nor a part stays as it is.

    where: name of the config in an error. None: its name in text (see `text_name`).

    Raises `MpnasError` if a value cannot be converted (see `convert`).
    """
    where, hints = where or text_name(type(config)), type_hints(type(config))
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        hint = hints.get(field.name)
        if _kind(hint) is not None or is_plain(hint):
            value = convert(getattr(config, field.name), hint, f"{where}: {field.name}")
            object.__setattr__(config, field.name, value)  # configs are frozen


def to_dict(config: object) -> dict[str, Any]:
    """Return a config as a flat dict of JSON values. Parts become text."""
    hints = type_hints(type(config))
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}  # type: ignore[arg-type]
    return {k: to_text(v) if _kind(hints[k]) else v for k, v in values.items()}


def from_dict(cls: type[T], values: Mapping[str, Any], where: str | None = None) -> T:
    """Return a config of class `cls` from values that a person gave.

    values: value or text by field; omitted fields have their defaults.
    where: name of the config in an error; None: the name of the class.

    Raises `MpnasError` if a key is unknown or a value has a wrong type.
    """
    where = where or cls.__name__
    hints = type_hints(cls)
    fields = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise unknown(f"parameter of {where}", key, fields)
    return cls(**{k: convert(v, hints[k], f"{where}: {k}") for k, v in values.items()})


def read_dict(values: Mapping[str, Any], cls: type, trust: bool) -> dict[str, Any]:
    """Return the values of a config.json, with parts instead of their text.

    values: value by field.
    cls: class of the config.
    trust: whether modules may be imported; if not, a part that needs an import becomes `Missing`.
    """
    kinds = {name: _kind(hint) for name, hint in type_hints(cls).items()}

    def read(name: str, value: Any) -> Any:
        kind = kinds.get(name)
        return kind.read(value, trust) if kind is not None and isinstance(value, str) else value

    return {name: read(name, value) for name, value in values.items()}


def convert(value: Any, hint: Any, where: str) -> Any:
    """Return `value` converted to the type `hint`, if the conversion loses nothing.

    value: what a person gave. Text is read as a number, a truth value or a part, because a command
    line has only text. A truth value does not count as a number.
    hint: annotation of the field.
    where: beginning of an error message.

    Raises `MpnasError` if the value cannot be converted, or is a number out of its range.

    >>> convert("3", int | None, "steps"), convert("None", int | None, "steps")
    (3, None)
    """
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    kind = next(filter(None, map(_kind, options)), None)
    if kind is None:
        return convert_plain(value, hint, where)
    if value is None or (isinstance(value, str) and value == "None"):
        if type(None) in options:
            return None
        raise MpnasError(f"{where} must be {describe(options[0])}, not None.")
    return kind.parse(value, where) if isinstance(value, str) else kind.check(value, where)


def describe(hint: Any) -> str:
    """Return a type hint in plain words.

    >>> describe(int | None)
    'a whole number or None'
    """
    kind = _kind(hint)
    if kind is None:
        return describe_plain(hint)
    return f"{' or '.join(kind.known)}, or module:Name(option=value)"


def field_docs(cls: type) -> dict[str, str]:
    """Return the docstring below each field of a dataclass and of its bases, by field."""
    docs: dict[str, str] = {}
    for base in reversed([c for c in cls.__mro__ if dataclasses.is_dataclass(c)]):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if is_text and isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                docs[field.target.id] = str(ast.literal_eval(below.value))  # type: ignore[attr-defined]
    return docs


def options(cls: type) -> dict[str, tuple[Any, str, Any]]:
    """Return (type, documentation, default) of every field of a config, by field."""
    docs, hints = field_docs(cls), type_hints(cls)
    plain = cls()
    return {
        f.name: (hints[f.name], docs.get(f.name, ""), getattr(plain, f.name))
        for f in dataclasses.fields(cls)
    }


def option_table(things: Iterable[Callable[..., Any]]) -> list[tuple[str, str, str, str]]:
    """Return every option of configs, parts and functions, with its values and ranges in words.

    things: dataclasses and functions.

    Returns rows of name, option, values and default.

    >>> option_table([mk.Absolute])
    [('absolute', 'beta', 'a number from -10 to 0', '-0.1')]
    """
    rows = []
    for thing in things:
        name = text_name(thing) if inspect.isclass(thing) else thing.__name__
        for option, parameter in inspect.signature(thing).parameters.items():
            hint, default = type_hints(thing)[option], parameter.default
            shown = "none" if default is inspect.Parameter.empty else _default_text(thing, option)
            rows.append((name, option, describe(hint), shown))
    return rows


def repr_html(config: object) -> str:
    """Return the fields of a config as an HTML table: name, value, meaning."""
    from html import escape

    docs = field_docs(type(config))
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td><code>{escape(str(value))}</code></td>"
        f'<td style="text-align: left">{escape(docs.get(name, ""))}</td></tr>'
        for name, value in to_dict(config).items()
    )
    head = "<tr><th>setting</th><th>value</th><th>meaning</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _default_text(thing: Callable[..., Any], option: str) -> str:
    """Return the default of an option as text."""
    default = inspect.signature(thing).parameters[option].default
    for field in dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ():
        if field.name == option and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
    return to_text(default) if dataclasses.is_dataclass(default) else str(default)


def _kind(hint: Any) -> Kind | None:
    """Return the kind of part that a type hint is annotated with."""
    return next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Kind)), None)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)
