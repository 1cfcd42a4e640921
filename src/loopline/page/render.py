"""Renders a page with Jinja2; autoescape is on, and nothing in the templates switches it off for a caller's text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from importlib import resources

from loopline.page.blocks import Section


def render_page(title: str, sections: Sequence[Section], *, subtitle: str = "", created_at: datetime) -> str:
    """The page as one HTML text; pictures lie in it as data URIs."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["kind"] = lambda block: type(block).__name__
    return environment.get_template("page.html").render(
        title=title, subtitle=subtitle, sections=sections, created_at=created_at, style=_template("page.css")
    )


def _template(name: str) -> str:
    return resources.files("loopline.page").joinpath(name).read_text(encoding="utf-8")


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
