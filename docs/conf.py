"""How the docs are built: `make docs`, warnings are errors, nothing is fetched."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from generated import GENERATED

from loopline import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Loopline"
author = "The Loopline developers"
copyright = "2026, the Loopline developers"  # noqa: A001 - Sphinx's name for it
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
# `name` in a docstring is code, as in Markdown.
default_role = "code"
autodoc_member_order = "bysource"
# Types of other projects have no page here, and their inventories are not fetched: a build needs no network.
nitpick_ignore_regex = [(r"py:.*", r"(?!loopline\.).*")]

html_theme = "furo"
html_title = "Loopline"
html_static_path = ["_static"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#3f5fa8", "color-brand-content": "#3f5fa8"},
    "dark_css_variables": {"color-brand-primary": "#8aa5ea", "color-brand-content": "#8aa5ea"},
}


def add_generated(_app: Sphinx, page: str, source: list[str]) -> None:
    """Appends to a page what is read from the code, so that it is never older than the code."""
    if page in GENERATED:
        source[0] += "\n" + GENERATED[page]()


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_generated)
