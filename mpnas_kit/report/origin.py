"""Where a page is from: what ran, how long, on which machine, and how to make the page again."""

import pathlib
import re
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from mpnas_kit.analysis.units import duration
from mpnas_kit.engine.environment import current_environment
from mpnas_kit.notebook.files import SUFFIX
from mpnas_kit.runs.run import STAGES, Run

OPTIONS = ("run", "profile", "data", "space", "trust")  # parameters that `mpnas report` has itself
_FOLDERS = re.compile(r"(?<![\w./~-])/(?:[^/\s'\",:]+/)+")  # all but the name of an absolute path


class Origin(NamedTuple):
    """Where a page is from.

    facts: names and values, in order.
    commands: shell commands that make the page again.
    """

    facts: dict[str, str]
    commands: list[str]


def page_origin(
    run: Run, given: str, parameters: Mapping[str, Any], seconds: float, copy: str, date: str
) -> Origin:
    """Return where the page of a notebook is from.

    run: the run.
    given: name or file of the notebook, as a person gave it.
    parameters: parameters of the notebook, by name.
    seconds: time that the notebook ran.
    copy: file of the executed notebook; empty: not known.
    date: when the page was written.
    """
    about = run.description
    facts = {
        "run": f"{run.folder} ({about.profile})",
        "data": f"{data_of(run)}, {len(run.domains)} domain{'s' * (len(run.domains) != 1)}",
        **{f"{stage} stage": _stage(run, stage) for stage in STAGES if run.finished(stage)},
        "machine": machine(run),
        "commit": commit(_environment(run)),
        "page": f"{date}, in {duration(seconds)}" if seconds else date,
    }
    return Origin(facts, [_report(run, given, parameters, copy), _papermill(given, parameters)])


def machine(run: Run) -> str:
    """Return on which machine the last finished stage of a run ran; without one, this machine."""
    about = _environment(run)
    processors = about["processors"]
    parts = [
        f"{processors} processors" if processors else "processors unknown",
        f"{about['threads']} thread{'s' * (about['threads'] != 1)}",
        f"torch {about['versions'].get('torch', 'unknown')}",
        *([f"{about['kernels'].split()[0]} kernels"] if "kernels" in about else []),
    ]
    return ", ".join(parts)


def commit(about: Mapping[str, Any]) -> str:
    """Return the commit of an environment in short form, and whether files were changed."""
    return f"{(about['git_commit'] or 'unknown')[:12]}{' + changes' * about['git_dirty']}"


def data_of(run: Run) -> str:
    """Return the text form of a run's suite, without folders of this machine."""
    return without_folders(run.description.data or "in memory only")


def space_of(run: Run) -> str:
    """Return the text form of a run's search space, or its name, without folders."""
    space = run.description.space
    return without_folders(str(space["source"] or space["name"]))


def without_folders(text: str) -> str:
    """Return a text with absolute paths cut to their names: folders of a machine say little.

    >>> without_folders("/data/me/parts.py:suite(size=3)")
    'parts.py:suite(size=3)'
    """
    return _FOLDERS.sub("", text)


def _environment(run: Run) -> Mapping[str, Any]:
    finished = [stage for stage in STAGES if run.finished(stage)]
    return run.about(finished[-1]) if finished else current_environment()


def _stage(run: Run, stage: Any) -> str:
    return f"{run.config(stage).steps:,} steps in {duration(run.about(stage)['seconds'])}"


def _report(run: Run, given: str, parameters: Mapping[str, Any], copy: str) -> str:
    words = ["mpnas", "report", "--run", str(run.folder)]
    for name in ("profile", "data", "space"):
        words += [f"--{name}", parameters[name]] if name in parameters else []
    words += ["--trust"] * bool(parameters.get("trust"))
    words += ["--out", str(pathlib.Path(copy).parent.parent)] if copy else []
    others = {n: v for n, v in parameters.items() if n not in OPTIONS}
    words += [w for name, value in others.items() for w in ("-p", name, value)]
    return shlex.join(map(str, [*words, "--", given] if others else [*words, given]))


def _papermill(given: str, parameters: Mapping[str, Any]) -> str:
    file = given if given.endswith(SUFFIX) else f"notebooks/{given}{SUFFIX}"
    words = ["papermill", file, f"{pathlib.Path(file).stem}_run{SUFFIX}"]
    words += [w for name, value in parameters.items() for w in ("-p", name, value)]
    return shlex.join(map(str, words))
