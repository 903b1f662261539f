"""Settings as frozen dataclasses, and the one text form they have everywhere.

A config is a frozen dataclass. A field's value is a number, a string, None, or itself a small
frozen dataclass (a reward, a domain prioritization, ...) that is written like a call:
`abdp(start=1.0, end=0.25)`. Command line, notebook parameters and `config.json` all use that
form, so what a person types is what a run folder holds.
"""

import ast
import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from mpnas_kit.errors import MpnasError, unknown

T = TypeVar("T")


def setting_name(cls: type) -> str:
    """The text name of a setting's class: its own name, in lower case with underscores."""
    given = cls.__dict__.get("text_name")
    if given is not None:
        return str(given)
    name = cls.__name__
    spaced = (
        "_" + c if c.isupper() and i and not name[i - 1].isupper() else c
        for i, c in enumerate(name)
    )
    return "".join(spaced).lower()


def to_text(value: object, *, defaults: bool = True) -> str:
    """A setting as text: `absolute(beta=-0.1)`; defaults=False leaves out what is as by default."""
    fields = [
        f
        for f in dataclasses.fields(value)  # type: ignore[arg-type]
        if defaults or getattr(value, f.name) != f.default
    ]
    inside = ", ".join(f"{f.name}={getattr(value, f.name)!r}" for f in fields)
    name = setting_name(type(value))
    return f"{name}({inside})" if inside else name


def from_text(text: str, choices: tuple[type[T], ...], kind: str) -> T:
    """The setting written as `text`, one of the dataclasses `choices`.

    `kind` names the setting in an error ("reward", "domain prioritization").
    """
    by_name = {setting_name(c): c for c in choices}
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
        if not isinstance(call.func, ast.Name) or call.args:
            raise ValueError
        name = call.func.id
        given = {str(k.arg): _literal(k.value) for k in call.keywords}
    except (SyntaxError, ValueError):
        example = ", ".join(by_name)
        raise MpnasError(
            f"{kind} {text!r} cannot be read: expected a name, with options as name(option=value); "
            f"names are {example}."
        ) from None
    if name not in by_name:
        raise unknown(kind, name, by_name)
    return from_dict(by_name[name], given, where=f"{kind} {name}")


def split_list(text: str) -> list[str]:
    """The items of a list with commas; those inside brackets belong to an item."""
    depth, items = 0, [""]
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            items.append("")
        else:
            items[-1] += sign
    return [item.strip() for item in items if item.strip()]


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id in ("inf", "infinity"):
        return float("inf")
    return ast.literal_eval(node)


def to_dict(config: object) -> dict[str, Any]:
    """A config as a flat dict of JSON values; settings inside it as text."""
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}  # type: ignore[arg-type]
    return {k: to_text(v) if dataclasses.is_dataclass(v) else v for k, v in values.items()}


def from_dict(cls: type[T], values: Mapping[str, Any], where: str | None = None) -> T:
    """A config of class `cls` from a flat dict; unknown keys and wrong types are named.

    `where` says in an error which config was meant (default: the class's name).
    """
    where = where or cls.__name__
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in fields:
            raise unknown(f"parameter of {where}", key, fields)
    return cls(**{k: convert(v, hints[k], f"{where}: {k}") for k, v in values.items()})


def convert(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint`, if that loses nothing; else an error that names `where`.

    Text is read where a number, truth value or setting is expected, since command lines have
    nothing else; a truth value is never taken for a number.
    """
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    if value is None or value == "None":
        if type(None) in options:
            return None
        raise MpnasError(f"{where} must be {describe(hint)}, not None.")
    settings = tuple(o for o in options if dataclasses.is_dataclass(o))
    if settings:
        if type(value) in settings:
            return value
        if isinstance(value, str):
            return from_text(value, settings, where)  # type: ignore[arg-type]
    for option in options:
        done = _plain(value, option)
        if done is not None:
            return done
    raise MpnasError(f"{where} must be {describe(hint)}, not {value!r}.")


def require_threads(threads: int | None, where: str) -> None:
    """Raise `MpnasError` for a number of threads that there cannot be."""
    require(
        threads is None or threads >= 1,
        f"{where} threads must be at least 1, or None for as many as suit, not {threads}.",
    )


def check(config: object, where: str) -> None:
    """Make every field of a config the type it is annotated with, or refuse it (`convert`)."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value = convert(getattr(config, field.name), hints[field.name], f"{where}: {field.name}")
        object.__setattr__(config, field.name, value)  # configs are frozen


def _plain(value: Any, option: Any) -> Any:
    """`value` as the plain type `option`, or None where it does not fit."""
    if option is bool:
        named = {"true": True, "false": False}.get(str(value).lower())
        return value if isinstance(value, bool) else named if isinstance(value, str) else None
    if isinstance(value, bool):
        return None
    if typing.get_origin(option) is typing.Literal:
        return value if value in typing.get_args(option) else None
    if option is str:
        return value if isinstance(value, str) else None
    if option in (int, float):
        try:
            number = float(value) if option is float else _whole(value)
        except (TypeError, ValueError, OverflowError):  # the last: int(inf)
            return None
        return number
    return None


def _whole(value: Any) -> int:
    number = int(value) if isinstance(value, str) else value
    if number != int(number):
        raise ValueError
    return int(number)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def describe(hint: Any) -> str:
    """A type hint in a user's words."""
    if _is_union(hint):
        return " or ".join(describe(o) for o in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(repr(a) for a in typing.get_args(hint))
    plain = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if hint in plain:
        return plain[hint]
    return "None" if hint is type(None) else setting_name(hint)


def require(true: bool, message: str) -> None:
    """Raise `MpnasError(message)` unless `true`: the validation line of a config."""
    if not true:
        raise MpnasError(message)
