"""Values that a person gives: their types, their ranges, and how they are converted.

An option is annotated with its type. A number also has its range, which is always finite:
`steps: Annotated[int, Range(1, 10_000)]`. The annotation is the only place that states it. Checks,
messages and the help of the commands read it from there.
"""

import contextlib
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Annotated, Any, ParamSpec, TypeVar

from mpnas_kit.errors import MpnasError, short

P = ParamSpec("P")
R = TypeVar("R")
_UNFIT: Any = object()  # what a value becomes that does not fit


@dataclass(frozen=True)
class Range:
    """The range of a number.

    low, high: its bounds, finite.
    above: whether `low` itself is excluded. Default: it is included.
    below: whether `high` itself is excluded. Default: it is included.
    infinity: whether positive infinity is allowed too. Default: it is not.
    odd: whether even numbers are excluded. Default: they are not.

    >>> 0.5 in Range(0, 1), math.nan in Range(0, 1), str(Range(0, 1, above=True))
    (True, False, 'above 0 and up to 1')
    """

    low: float
    high: float
    above: bool = False
    below: bool = False
    infinity: bool = False
    odd: bool = False

    def __contains__(self, number: float) -> bool:
        if number == math.inf:
            return self.infinity
        if self.odd and number % 2 != 1:
            return False
        high_enough = number > self.low if self.above else number >= self.low
        return high_enough and (number < self.high if self.below else number <= self.high)

    def __str__(self) -> str:
        low, high = _figure(self.low), _figure(self.high)
        if self.above:
            words = f"above {low} and {'below' if self.below else 'up to'} {high}"
        else:
            words = f"from {low} to {'below ' if self.below else ''}{high}"
        words = f"{words}, odd" if self.odd else words
        return f"{words}, or infinity" if self.infinity else words


SEED = Range(0, 2**32 - 1)  # of every seed


def _figure(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def is_plain(hint: Any) -> bool:
    """Return whether a type hint is plain: numbers, texts, truth values, None and named values."""
    options = _options(hint)
    if len(options) > 1:
        return all(map(is_plain, options))
    is_named = typing.get_origin(options[0]) is typing.Literal
    return is_named or options[0] in (bool, int, float, str, type(None))


def convert_plain(value: Any, hint: Any, where: str) -> Any:
    """Return `value` converted to the plain type `hint`, if the conversion loses nothing.

    value: what a person gave. Text is read as a number or a truth value, because a command line has
    only text. A truth value does not count as a number. The result has no negative zero.
    hint: a plain type, perhaps with a `Range`.
    where: beginning of an error message.

    Raises `MpnasError` if the value cannot be converted or is out of its range.

    >>> convert_plain("3", Annotated[int | None, Range(1, 9)], "steps")
    3
    """
    done = _fitted(value, hint)
    if done is _UNFIT:
        raise MpnasError(f"{where} must be {describe_plain(hint)}, not {short(value)}.")
    return done


def convert_text(value: Any, where: str) -> str:
    """Return `value` if it is a name: text that is not empty and has no control characters.

    where: beginning of an error message.

    Raises `MpnasError` if it is something else.
    """
    is_name = isinstance(value, str) and value.strip() and value.isprintable()
    if not is_name or len(value) > 1000:
        raise MpnasError(
            f"{where} must be text without line breaks and control characters, 1 to 1,000 "
            f"characters, not {short(value)}."
        )
    return str(value)


def convert_list(value: Any, where: str, of: str) -> tuple[Any, ...]:
    """Return the items of a list or of another collection that has an order.

    where: beginning of an error message.
    of: what the items are, in words.

    Raises `MpnasError` if `value` is a text, a mapping, a set or no collection at all.
    """
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping, Set)):
        try:
            return tuple(value)
        except TypeError:  # a tensor or an array without dimensions
            pass
    raise MpnasError(f"{where} must be a list of {of}, not {short(value)}.")


def number(value: Any, allowed: Range) -> float | None:
    """Return a number that foreign code returned, or None if it is none or out of its range.

    Text is no number. An array or a tensor of one number without dimensions is one.
    """
    if type(value) is float and value in allowed:
        return value
    done = _UNFIT if isinstance(value, str) else _fitted(value, Annotated[float, allowed])
    return None if done is _UNFIT or done is None else float(done)


def require_type(value: Any, kind: type, where: str) -> None:
    """Raise `MpnasError` unless `value` is an object of the class `kind`."""
    if not isinstance(value, kind):
        named: dict[type, str] = {str: "text", Mapping: "a dict"}
        words = named.get(kind, f"a {kind.__name__}")
        raise MpnasError(f"{where} must be {words}, not {short(value)}.")


def describe_plain(hint: Any) -> str:
    """Return a plain type and its range in words.

    >>> describe_plain(Annotated[int | None, Range(1, 1024)])
    'a whole number from 1 to 1,024, or None'
    """
    allowed = _range(hint)
    base = hint.__origin__ if hasattr(hint, "__metadata__") else hint
    if typing.get_origin(base) is typing.Literal:
        return " or ".join(repr(a) for a in typing.get_args(base))
    if typing.get_origin(base) is Sequence:
        return "a list"
    options = _options(base)
    if len(options) > 1:
        words = [describe_plain(o) for o in options]
        if allowed is not None:
            return f"{words[0]} {allowed}, or {' or '.join(words[1:])}"
        comma = "," if "," in words[0] or " to " in words[0] else ""
        return f"{words[0]}{comma} or {' or '.join(words[1:])}"
    plain = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    words_of_base = "None" if base is type(None) else plain.get(base, str(base))
    return words_of_base if allowed is None else f"{words_of_base} {allowed}"


def checked(where: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator: it converts the arguments of a function by their plain type hints.

    where: name of the function in an error.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*arguments: P.args, **options: P.kwargs) -> R:
            given, hints = signature.bind(*arguments, **options), type_hints(function)
            for name, value in given.arguments.items():
                if is_plain(hints.get(name)):
                    given.arguments[name] = convert_plain(value, hints[name], f"{where}: {name}")
            return function(*given.args, **given.kwargs)

        return call

    return decorate


def type_hints(thing: Any) -> dict[str, Any]:
    """Return the type hints of a class or function with their annotations, by name.

    Of a class without type hints, return those of its `__init__`. Hints that cannot be found, such
    as those of a class that was defined inside a function, are left out.
    """
    has_hints: bool = inspect.isclass(thing) or inspect.isfunction(thing)
    return _type_hints(thing) if has_hints else {}


@functools.cache
def _type_hints(thing: Hashable) -> dict[str, Any]:
    chain = [thing]
    if inspect.isclass(thing):
        chain = [c for c in reversed(thing.__mro__) if inspect.get_annotations(c)]
        chain = chain or [thing.__init__]
    found: dict[str, Any] = {}
    for part in chain:
        with contextlib.suppress(Exception):  # a name is unknown where the hint stands
            found |= typing.get_type_hints(part, include_extras=True)
    return found


def _options(hint: Any) -> tuple[Any, ...]:
    """Return the types that a hint allows: those of a union, or the hint alone."""
    base = hint.__origin__ if hasattr(hint, "__metadata__") else hint
    is_union = typing.get_origin(base) in (typing.Union, types.UnionType)
    return typing.get_args(base) if is_union else (base,)


def _range(hint: Any) -> Range | None:
    return next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Range)), None)


def _fitted(value: Any, hint: Any) -> Any:
    """Return `value` as the plain type `hint`, or `_UNFIT` if it does not fit."""
    allowed, options = _range(hint), _options(hint)
    if value is None or (isinstance(value, str) and value == "None"):
        return None if type(None) in options else _UNFIT
    for option in options:
        is_annotated = hasattr(option, "__metadata__")
        done = _fitted(value, option) if is_annotated else _as_type(value, option)
        if isinstance(done, (int, float)) and not isinstance(done, bool):
            done = done if (done in allowed if allowed else done == done) else _UNFIT
        if done is not _UNFIT:
            return done
    return _UNFIT


def _as_type(value: Any, option: Any) -> Any:
    if option is bool:
        if type(value).__name__ in ("bool", "bool_"):  # of Python or of NumPy
            return bool(value)
        named = {"true": True, "false": False}
        return named.get(value.lower(), _UNFIT) if isinstance(value, str) else _UNFIT
    if type(value).__name__ in ("bool", "bool_"):
        return _UNFIT
    if typing.get_origin(option) is typing.Literal:
        same = [a for a in typing.get_args(option) if isinstance(value, type(a)) and a == value]
        return same[0] if same else _UNFIT
    if option is str:
        return str(value) if isinstance(value, str) else _UNFIT
    if option in (int, float) and (isinstance(value, str) or hasattr(value, "__float__")):
        return _number(value, option)
    return _UNFIT


def _number(value: Any, option: type) -> Any:
    """Return a number, or a text or an array of one number, as a number of type `option`."""
    if getattr(value, "shape", ()) != () or "bool" in str(getattr(value, "dtype", "")):
        return _UNFIT
    try:
        if option is float:
            return float(value) + 0.0  # without the sign of a negative zero
        whole = int(value)
        return whole if isinstance(value, str) or whole == value else _UNFIT
    except (TypeError, ValueError, OverflowError):  # int(inf) raises OverflowError
        return _UNFIT
