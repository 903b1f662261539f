"""The files that a report writes, checked before a notebook runs.

    OUT/index.html             the first page
    OUT/NAME.html              the page of a notebook
    OUT/notebooks/NAME.ipynb   the executed notebook

An output never replaces an input, another output, or a file that is not of a report.
"""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mpnas_kit.errors import MpnasError
from mpnas_kit.files import as_path, exists, file_errors, make_folder, read_bytes
from mpnas_kit.notebook.files import SUFFIX
from mpnas_kit.runs.description import place

_INDEX = "index"
_FREE = 50_000_000  # bytes that a report needs
_OF_RUN = ("cells", "search", "pretrain", "train")  # folders in a run folder
_MARK = b'<a class="brand" href="index.html">'  # stands in the header of every page


@dataclass(frozen=True)
class Outputs:
    """The files of a report.

    folder: folder of the pages.
    names: names of the pages, without suffix; `index` is not among them.
    """

    folder: pathlib.Path
    names: Sequence[str]

    @classmethod
    def check(
        cls,
        out: str | pathlib.Path,
        names: Sequence[str],
        inputs: Sequence[pathlib.Path],
        run: pathlib.Path,
    ) -> "Outputs":
        """Return the files of a new report. No file is written.

        out: folder of the pages.
        names: names of the pages, without suffix.
        inputs: the notebooks.
        run: the run folder.

        Raises `MpnasError` if a name cannot be that of a page, or if a file would replace a
        notebook that is run, a file of a run, or a file that no report has written.
        """
        _refuse_names(names)
        outputs = cls(place(as_path(out, "--out")), list(names))
        _refuse_run_folders(outputs, run)
        for file in outputs.files():
            if not exists(file):
                continue
            for given in inputs:
                with file_errors("compare", file):
                    if os.path.samefile(file, given):
                        raise MpnasError(
                            f"the report would replace the notebook {given} that it runs: choose "
                            "another --out."
                        )
            if not _of_report(file):
                raise MpnasError(
                    f"the report would replace {file}, which no report has written: choose another "
                    "--out, or remove the file."
                )
        return outputs

    @property
    def index(self) -> pathlib.Path:
        """File of the first page."""
        return self.page(_INDEX)

    @property
    def copies(self) -> pathlib.Path:
        """Folder of the executed notebooks."""
        return self.folder / "notebooks"

    def page(self, name: str) -> pathlib.Path:
        """Return the file of a page."""
        return self.folder / f"{name}.html"

    def copy(self, name: str) -> pathlib.Path:
        """Return the file of an executed notebook."""
        return self.copies / f"{name}{SUFFIX}"

    def files(self) -> Iterator[pathlib.Path]:
        """Return all files that the report writes."""
        for name in self.names:
            yield self.page(name)
            yield self.copy(name)
        yield self.index

    def create(self) -> None:
        """Create the folders. Raises `MpnasError` if they cannot be written or the disk is full."""
        for folder in (make_folder(self.folder), make_folder(self.copies)):
            with file_errors("write in", folder), tempfile.TemporaryFile(dir=folder):
                if shutil.disk_usage(folder).free < _FREE:
                    raise MpnasError(
                        f"{folder} has less than 50 MB of free space: a report needs more."
                    )


def _refuse_names(names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if not name or not name.isprintable():
            raise MpnasError(f"a page cannot have the name {name!r}: rename its notebook or run.")
        folded = name.casefold()  # some file systems do not tell A.html from a.html
        if folded == _INDEX:
            raise MpnasError(
                f"a page cannot have the name {name!r}, which the first page has: rename its "
                "notebook or run."
            )
        if folded in seen:
            raise MpnasError(
                f"two pages would have the names {seen[folded]!r} and {name!r}: expected different "
                "names, each once."
            )
        seen[folded] = name


def _refuse_run_folders(outputs: Outputs, run: pathlib.Path) -> None:
    own = pathlib.Path(os.path.realpath(run))
    for folder in (outputs.folder, outputs.copies):
        real = pathlib.Path(os.path.realpath(folder))
        parents = [p for p in real.parents if p == own or exists(p / "run.json")]
        inside = any(real.relative_to(p).parts[0] in _OF_RUN for p in parents)
        if real == own or exists(real / "run.json") or inside:
            raise MpnasError(
                f"a report cannot be written to {folder}, which belongs to a run: choose another "
                "--out."
            )


def _of_report(file: pathlib.Path) -> bool:
    """Return whether a report has written an existing file."""
    content = read_bytes(file)
    if file.suffix != SUFFIX:
        return _MARK in content
    with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):
        return "output_path" in json.loads(content)["metadata"]["papermill"]
    return False
