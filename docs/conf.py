"""Settings of the documentation site: `make docs` builds it into build/docs, offline."""

from mpnas_kit import __version__

project = "MPNAS Kit"
author = "The MPNAS Kit authors"
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3  # so that a page can link to a heading of another page
nb_execution_mode = "off"  # a build runs no notebook
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"MPNAS Kit {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
