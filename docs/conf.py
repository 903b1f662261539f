"""Settings of the documentation site: `make docs` builds it into build/docs, offline."""

import re
from typing import Any

from mpnas_kit import __version__

project = "MPNAS Kit"
author = "The MPNAS Kit authors"
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3  # so that a page can link to a heading of another page
nb_execution_mode = "off"  # a build runs no notebook
autodoc_member_order = "bysource"
default_role = "code"  # `name` in docstrings
autodoc_typehints = "none"  # docstrings say shapes and units; signatures stay short

html_theme = "furo"
html_title = f"MPNAS Kit {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

_FIELD = re.compile(r"(?P<names>`*\w+`*(?:, `*\w+`*)*): (?P<rest>\S.*)")


def list_fields(app: object, what: str, name: str, *others: Any) -> None:
    """Make a list of the lines `name: meaning` of a docstring, which would run together."""
    lines: list[str] = others[-1]
    inside, result = False, []
    for line in lines:
        match = _FIELD.fullmatch(line)
        starts = match is not None and not match["names"][0].isupper()
        if match is not None and starts:
            result.append(f":{match['names'].replace('`', '')}: {match['rest']}")
        else:
            inside = inside and bool(line.strip())
            result.append(f"   {line}" if inside else line)
        inside = inside or starts
    lines[:] = result


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", list_fields)
