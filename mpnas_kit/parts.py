"""Parts: settings that are more than a number, and the text form that every part has.

A part is a reward, a cost model, a prioritization, an approach, a search space, a block, a suite of
domains or a callback. Command line, notebook parameters, run.json and config.json use one text
form:

    abdp(start=1.0, end=0.25)              a part of the kit, by name
    my_module:Latency(table='phone.json')  a class or function of a module that Python can import
    my_parts.py:Latency(table='p.json')    a class or function of a file

If a person gives a text, its module is imported. If a run folder holds a text, its module is not
imported, unless the person trusts the folder. If the module is there already, the text is followed
within the limits of `Kind.read`. So reading a run folder never executes its code.

Some parts of the kit read files by a path in their text. Such a text in a run folder is followed if
a person gave the same text, or trusts the folder. So reading a run folder never leads elsewhere.
"""

import ast
import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import math
import os
import pathlib
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from mpnas_kit.errors import MpnasError, Unavailable, one_line, short, unknown
from mpnas_kit.values import convert_plain, convert_text, is_plain, require_type, type_hints

_ORIGIN = re.compile(
    r"(?P<origin>[^()]+?):(?P<name>[A-Za-z_][\w.]*)\s*(?P<call>\(.*\))?", re.DOTALL
)
_APPROVED: dict[str, None] = {}  # origins that a person gave or trusted in this process, in order
_GIVEN: dict[str, None] = {}  # texts with paths that a person gave or trusted in this process
_INSTALLED = tuple(
    pathlib.Path(sysconfig.get_path(name)).resolve()
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def text_name(cls: type) -> str:
    """Return the name of a class of the kit in text: the class name in snake case.

    If the class has an attribute `text_name`, that is its name.

    >>> text_name(mk.DynamicTaskPriority)
    'dynamic_task_priority'
    """
    given = cls.__dict__.get("text_name")
    if given is not None:
        return str(given)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()


def by_text_name(*classes: type) -> dict[str, Callable[..., Any]]:
    """Return the classes by their names in text."""
    return {text_name(cls): cls for cls in classes}


@dataclass(frozen=True)
class Missing:
    """A placeholder for a part that a run folder names and that was not imported.

    With it, everything that does not need the part can be read. Any use of it raises `Unavailable`.

    text: text form of the part in the run folder.
    kind: what the part is, in words, such as "reward".
    """

    text: str
    kind: str

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.error()

    def __call__(self, *arguments: object, **options: object) -> NoReturn:
        """Raise `Unavailable`."""
        raise self.error()

    def error(self) -> Unavailable:
        """Return the error that names the part and says how to get it."""
        origin = _split(self.text)[0]
        if origin is None:
            option = {"cost model": "--cost", "start": "--start"}.get(self.kind, "--data")
            return Unavailable(
                f"{self.kind} {short(self.text)} reads files outside of the run folder, and a run "
                f"folder cannot ask for that by itself: give it again (such as {option}), or trust "
                "the run (--trust, trust=True)."
            )
        if origin == "__main__":
            how = "it was defined in a notebook or script, so give the object again"
        else:
            how = "give it again, trust the run (--trust, trust=True), or import the module first"
        return Unavailable(
            f"{self.kind} {self.text!r} comes from {origin}, and a run folder imports no code "
            f"by itself: {how}."
        )


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of part: the parts of the kit, and what any other object must have.

    name: the kind in words, such as "reward".
    known: classes and functions of the kit by their names in text.
    lacks: returns what an object lacks to be such a part, in words such as "method price(use)".
    It returns None if the object lacks nothing.
    from_files: names of `known` whose text has paths of files that are read.
    was_given: returns whether the person gave such a text before, in another process.
    """

    name: str
    known: Mapping[str, Callable[..., Any]]
    lacks: Callable[[Any], str | None]
    from_files: frozenset[str] = frozenset()
    was_given: Callable[[str], bool] = lambda text: False

    def check(self, value: Any, where: str | None = None) -> Any:
        """Return `value` if it is such a part.

        where: name of the setting in an error; None: the name of the kind.

        Raises `MpnasError` if it is not such a part. The message says what it lacks.
        """
        if inspect.isclass(value):
            raise MpnasError(
                f"{where or self.name} got the class {value.__name__}: expected an object, such as "
                f"{value.__name__}()."
            )
        lacking = None if isinstance(value, Missing) else self.lacks(value)
        if lacking is not None:
            raise MpnasError(
                f"{where or self.name} got {short(value)}, which has no {lacking}: expected "
                f"{self.expected()}."
            )
        return value

    def expected(self) -> str:
        """Return in words what may be given."""
        names = f"one of {', '.join(self.known)}, or " if self.known else ""
        article = "an" if self.name[0] in "aeiou" else "a"
        return f"{names}{article} {self.name} of your own as an object or module:Name(option=value)"

    def parse(
        self, text: str, where: str | None = None, supply: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the part written as `text`, which a person gave. Its module is imported.

        text: text form of the part (see the module).
        where: name of the setting in an error; None: the name of the kind.
        supply: values for options that the text omits. Used if the class or function has them.

        From now on the origin is approved: `read` follows other texts that name it.

        Raises `MpnasError` if the text cannot be read, a name or option is unknown, the module
        cannot be imported, or the object is not such a part.
        """
        where = where or self.name
        require_type(text, str, where)
        origin, name, call = _split(text)
        if origin is None:
            if name not in self.known:
                raise unknown(self.name, name or text, self.known)
            found = self.known[name]
        else:
            found = _attribute(_imported(origin, where), origin, name)
            _APPROVED[_canonical(origin)] = None
        return self._made(found, call, where, text, supply or {})

    def _made(
        self, found: Any, call: str | None, where: str, text: str, supply: Mapping[str, Any]
    ) -> Any:
        """Return `found` if it is a part, otherwise the part that a call of it returns."""
        if not inspect.isclass(found) and call is None and self.lacks(found) is None:
            return found
        if not callable(found):
            return self.check(found, f"{where} {short(text)}")
        return self.check(_called(found, _options(call, where, text), supply, where, text))

    def read(self, text: str, trust: bool, supply: Mapping[str, Any] | None = None) -> Any:
        """Return the part that a run folder names, or `Missing` if it would need an import.

        text: text form of the part in the run folder.
        trust: whether its module may be imported.
        supply: values for options that the text omits (see `parse`).

        Without trust, a text is followed if its origin is approved (see `parse`). In a module that
        was imported for another reason, only dataclasses and finished parts are followed, and in a
        module of the person's own also functions and other classes. They must be defined in that
        module. So no text can call a function of Python, of the kit or of a library. A text with
        paths is followed if a person gave it (see `approve_text`).

        Raises `MpnasError` as `parse` does.
        """
        origin, name, call = _split(text)
        if origin is None:
            followed = trust or text in _GIVEN or name not in self.from_files
            if not followed and not self.was_given(text):
                return Missing(text, self.name)
            return self.parse(text, supply=supply)
        if origin != "__main__" and (trust or _canonical(origin) in _APPROVED):
            return self.parse(text, supply=supply)
        module = _loaded(origin)
        found = getattr(module, name, None)
        if module is None or found is None or not self._harmless(found, module, call):
            return Missing(text, self.name)
        return self._made(found, call, self.name, text, supply or {})

    def _harmless(self, found: Any, module: Any, call: str | None) -> bool:
        """Return whether a text that nobody approved may use `found` of a loaded module."""
        if not (inspect.isclass(found) or inspect.isroutine(found)):
            return call is None and self.lacks(found) is None  # nothing is called
        if found.__module__ != module.__name__:
            return False
        return (inspect.isclass(found) and dataclasses.is_dataclass(found)) or _is_own(module)


def to_text(value: object, *, defaults: bool = True) -> str:
    """Return the text form of a part.

    value: a dataclass object with plain values as options, or a class or function at the top level
    of a module.
    defaults: False omits options that have their default value.

    Raises `MpnasError` if `value` is anything else: a text could not create it again.

    >>> to_text(mk.Absolute(beta=-0.1))
    'absolute(beta=-0.1)'
    >>> to_text(mk.Absolute(beta=-0.1), defaults=False)
    'absolute'
    """
    if isinstance(value, Missing):
        return value.text
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        options = {
            f.name: getattr(value, f.name)
            for f in dataclasses.fields(value)
            if f.init and (defaults or getattr(value, f.name) != f.default)
        }
        for option in options.values():
            _check_plain(option, value)
        inside = ", ".join(f"{name}={option!r}" for name, option in options.items())
        name = _full_name(type(value))
        return f"{name}({inside})" if inside else name
    if inspect.isclass(value) or inspect.isroutine(value):
        return _full_name(value)
    raise _no_text(value)


def shown(value: object) -> str:
    """Return the text form of a part for a message, or its `repr` if it has no text form."""
    try:
        text = to_text(value)
    except MpnasError:
        return short(value)
    return text if len(text) <= 200 else short(text)


def split_list(text: str) -> list[str]:
    """Return the items of a text that are separated by commas. Brackets protect their commas.

    >>> split_list("uniform, abdp(start=1.0, end=0.25)")
    ['uniform', 'abdp(start=1.0, end=0.25)']
    """
    depth, items = 0, [""]
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            items.append("")
        else:
            items[-1] += sign
    return [item.strip() for item in items if item.strip()]


def lacks_attributes(value: object, *needed: str) -> str | None:
    """Return in words the first of `needed` that `value` lacks, or None if it lacks none.

    needed: names of attributes such as "unit", and calls of methods such as "price(use)".
    """
    for item in needed:
        name = item.partition("(")[0]
        if not hasattr(value, name):
            return f"method {item}" if "(" in item else f"attribute {item!r}"
    return None


# Text ---------------------------------------------------------------------------------------------


def _split(text: str) -> tuple[str | None, str, str | None]:
    """Return the origin (module or file; None: the kit), name and call with brackets of a text."""
    text = text.strip()
    match = _ORIGIN.fullmatch(text)
    head = text.partition("(")[0]
    if match is not None and ":" in head:
        origin = convert_text(match["origin"].strip(), f"the module or file in {short(text)}")
        return origin, match["name"], match["call"]
    name, bracket, rest = text.partition("(")
    return None, name.strip(), bracket + rest if bracket else None


def read_call(text: str, where: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of the text form of a part of the kit. Nothing is called.

    where: beginning of an error message.

    Raises `MpnasError` if the text cannot be read.

    >>> read_call("abdp(start=1.0)", "prioritization")
    ('abdp', {'start': 1.0})
    """
    _, name, call = _split(text)
    return name, _options(call, where, text)


def _options(call: str | None, where: str, text: str) -> dict[str, Any]:
    unreadable = MpnasError(
        f"{where} {short(text)} cannot be read: expected name(option=value) with plain values, and "
        "text in quotes."
    )
    try:
        tree = ast.parse(f"f{call or '()'}", mode="eval").body
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or tree.args:
            raise unreadable
        options: dict[str, Any] = {}
        for keyword in tree.keywords:
            if keyword.arg is None:  # two stars
                raise unreadable
            if keyword.arg in options:
                raise MpnasError(
                    f"{where} {short(text)} gives the option {keyword.arg!r} twice: give it once."
                )
            options[keyword.arg] = _literal(keyword.value)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise error if isinstance(error, MpnasError) else unreadable from None
    return options


class _Infinity(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(math.inf) if node.id in ("inf", "infinity") else node


def _literal(node: ast.expr) -> Any:
    """Return the plain value of an expression. `inf` is infinity."""
    return ast.literal_eval(_Infinity().visit(node))


def _called(
    factory: Callable[..., Any],
    options: Mapping[str, Any],
    supply: Mapping[str, Any],
    where: str,
    text: str,
) -> Any:
    """Call a class or function with options. Any error becomes an `MpnasError` of one sentence."""
    try:
        known = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        known = {}  # type: ignore[assignment]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    hints, head, given = type_hints(factory), text.partition("(")[0], {}
    for name, value in options.items():
        if name not in known and not open_ended:
            raise unknown(f"option of {head}", name, known or ["none"])
        given[name] = _fitting(value, hints.get(name), f"{head}: {name}")
    more = {n: v for n, v in supply.items() if n in known and n not in options}
    lacking = [
        name
        for name, p in known.items()
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and name not in {**given, **more}
    ]
    if lacking:
        inside = ", ".join(f"{name}=..." for name in lacking)
        raise MpnasError(f"{where} {short(text)} lacks options: expected {head}({inside}).")
    try:
        return factory(**given, **more)
    except MpnasError:
        raise
    except Exception as error:
        raise MpnasError(f"{where} {short(text)} cannot be created: {one_line(error)}.") from error


def _fitting(value: Any, hint: Any, where: str) -> Any:
    """Return the value of an option, converted to its type if that is plain.

    A whole number stays one if the type is `float`, so that its text form stays the same.
    """
    if not is_plain(hint):
        return value
    done = convert_plain(value, hint, where)
    return value if type(value) is int and done == value else done


def _check_plain(option: object, owner: object) -> None:
    try:
        same = bool(option == _literal(ast.parse(repr(option), mode="eval").body))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        same = False
    if not same:
        raise _no_text(owner)


def _no_text(value: object) -> MpnasError:
    return MpnasError(
        f"{short(value)} has no text form, so a run folder cannot name it: expected a dataclass "
        "with plain options, or a class or function at the top level of a module."
    )


def _full_name(value: Any) -> str:
    """Return the name of a class or function in text. Those of the kit have short names."""
    module = str(value.__module__)
    if module.partition(".")[0] == "mpnas_kit":
        return text_name(value) if inspect.isclass(value) else str(value.__name__)
    name = str(value.__qualname__)
    if "<" in name:  # a lambda, or defined inside a function
        raise _no_text(value)
    return f"{_origin(module)}:{name}"


def _origin(module: str) -> str:
    """Return the origin of a module in text: its file if it is a lone file, otherwise its name.

    A lone file is not part of a package and not installed, so another process may not find it by
    its name.
    """
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or "." in module:
        return module
    path = pathlib.Path(file).resolve()
    installed = any(path.is_relative_to(folder) for folder in _INSTALLED)
    return module if installed or path.name == "__init__.py" else str(path)


# Modules ------------------------------------------------------------------------------------------


def _is_own(module: Any) -> bool:
    """Return whether a module is a person's own: not of Python, of a library or of the kit."""
    if module.__name__ == "__main__":
        return True
    file = getattr(module, "__file__", None)
    if file is None or module.__name__.partition(".")[0] == "mpnas_kit":
        return False
    return not any(pathlib.Path(file).resolve().is_relative_to(f) for f in _INSTALLED)


def _canonical(origin: str) -> str:
    """Return the origin, with the absolute path if it is a file."""
    return str(_file(origin)) if _is_file(origin) else origin


def _file(origin: str) -> pathlib.Path:
    """Return the absolute path of an origin that is a file. The file need not exist."""
    return pathlib.Path(os.path.realpath(os.path.expanduser(origin)))


def _is_file(origin: str) -> bool:
    return origin.endswith(".py")


def absolute(text: str) -> str:
    """Return a text form with the absolute path of its file, if it names one.

    The result means the same in every working folder.
    """
    origin, _, _ = _split(text)
    if origin is None or not _is_file(origin):
        return text
    return _canonical(origin) + text.strip()[len(origin) :]


def _loaded(origin: str) -> Any | None:
    """Return the module of an origin, or None if it is not imported yet."""
    if not _is_file(origin):
        return sys.modules.get(origin)
    file = _file(origin)
    for module in list(sys.modules.values()):
        path = str(getattr(module, "__file__", None) or "")
        if path.endswith(file.name) and pathlib.Path(path).resolve() == file:
            return module
    return None


def approve_text(text: str) -> None:
    """Note that a person gave a text with paths, so that `Kind.read` follows the same text."""
    _GIVEN[text] = None


def approved() -> tuple[str, ...]:
    """Return the origins, and the texts with paths, that a person gave or trusted in this process.

    `approve` approves them in another process, so that it can create the same parts.
    """
    return (*(origin for origin in _APPROVED if origin != "__main__"), *_GIVEN)


def approve(origins: Iterable[str]) -> None:
    """Import the modules that another process approved. A module that cannot be imported is left.

    A part that needs such a module is then `Missing`.

    origins: what `approved` returned there. A text with paths has brackets; an origin has none.
    """
    for origin in origins:
        if "(" in origin:
            approve_text(origin)
            continue
        with contextlib.suppress(MpnasError):
            _imported(origin, "module")
            _APPROVED[origin] = None


def _imported(origin: str, where: str) -> Any:
    """Return the module of an origin that a person gave or trusts. Import it if needed."""
    loaded = _loaded(origin)
    if loaded is not None:
        return loaded
    file = _file(origin) if _is_file(origin) else None
    name = file.stem if file is not None else origin
    if file is not None and not os.path.isfile(file):  # False too if the name is too long
        raise MpnasError(f"{where}: the file {file} does not exist: check its path.")
    if file is not None and name in sys.modules:
        other = getattr(sys.modules[name], "__file__", "a module of Python")
        raise MpnasError(
            f"{where}: {file} cannot be imported as {name!r}, because {other} has this name: "
            "rename the file."
        )
    folder = str(file.parent) if file is not None else os.getcwd()
    if folder not in sys.path:  # so that other processes of this run find the module too
        sys.path.insert(0 if file is not None else len(sys.path), folder)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            raise MpnasError(
                f"{where}: there is no module {name!r} in {folder} or among the installed ones: "
                "install it, or give the path of its .py file."
            ) from None
        raise _failed_import(where, origin, error) from error
    except Exception as error:
        raise _failed_import(where, origin, error) from error
    return module


def _failed_import(where: str, origin: str, error: Exception) -> MpnasError:
    return MpnasError(f"{where}: {origin} cannot be imported: {one_line(error)}.")


def _attribute(module: Any, origin: str, name: str) -> Any:
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise unknown(f"name in {origin}", name, _public(module))
        found = getattr(found, part)
    return found


def _public(module: Any) -> Iterable[str]:
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
    return [n for n in own if not n.startswith("_")] or ["none"]
