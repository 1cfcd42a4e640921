"""Markdown of strangers into HTML that is safe: no script, no style, no form, nothing loaded from anywhere.

markdown-it renders, Pygments colours, and nh3 keeps what the tables below list; whatever they do not list goes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

from loopline.report.count import parser
from loopline.repository import is_tick

if TYPE_CHECKING:
    from markdown_it.token import Token

_TAGS = """
a abbr b blockquote br code dd del details div dl dt em figcaption figure h3 h4 h5 h6 hr i img ins kbd li mark ol p pre
q s samp small span strong sub summary sup table tbody td tfoot th thead tr u ul var
"""
TAGS = frozenset(_TAGS.split())
_ATTRIBUTES = {
    "a": {"href", "title"},
    "abbr": {"title"},
    "code": {"class"},
    "details": {"open"},
    "div": {"class"},
    "img": {"alt", "height", "src", "title", "width"},
    "li": {"class"},
    "ol": {"start"},
    "pre": {"tabindex"},
    "span": {"class"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan"},
}
# What disappears with all that stands in it; of any other tag that is not kept, the text stays.
_SWALLOWED = {
    "iframe",
    "math",
    "noembed",
    "noframes",
    "noscript",
    "object",
    "script",
    "style",
    "svg",
    "template",
    "title",
}
_CLASSES = {
    "code": re.compile(r"highlight"),
    "div": re.compile(r"scroll"),
    "li": re.compile(r"box"),
    "span": re.compile(r"[a-z]{1,3}\d?"),  # Pygments' names
}
_NUMBER = re.compile(r"\d{1,4}%?")
# Behind odd spaces nh3 takes such an address for a relative one, as today's browsers do; no reader needs it.
_RUNS = re.compile(r"(?:javascript|vbscript|data|blob|file):", re.I)
_BOX = re.compile(r"\[([^\[\]]{1,12})\]\s+(?=\S)")
_MAX_CODE = 100_000

Resolve = Callable[[str], bytes | None]


def safe_html(markdown: str, *, picture: Resolve, heading_level: int = 4) -> str:
    """The HTML of a Markdown text. Never raises.

    `picture` gives the PNG or JPEG bytes of an address in the text, or None for a picture that is not to be shown; its
    words stay. The highest heading in the text becomes one of `heading_level` (3 to 6), deeper ones follow.
    """
    import nh3

    tokens = parser().parse(markdown)
    _shift_headings(tokens, heading_level)
    for item, inline in zip(tokens, tokens[2:], strict=False):
        if item.type == "list_item_open" and inline.type == "inline":
            _show_box(item, inline)
    rendered = "".join(_rendered(tokens))
    return nh3.clean(
        rendered,
        tags=set(TAGS),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        clean_content_tags=set(_SWALLOWED),
        url_schemes={"http", "https", "mailto"},
        attribute_filter=lambda tag, name, value: _attribute(tag, name, value, picture),
        link_rel="noopener noreferrer",
        strip_comments=True,
    )


def _attribute(tag: str, name: str, value: str, picture: Resolve) -> str | None:
    if name == "src":
        data = picture(value)
        return None if data is None else data_uri(data)
    if name == "href":
        return None if _RUNS.match(re.sub(r"[\s\x00-\x20\x7f-\x9f\u200b-\u200f\ufeff]", "", value)) else value
    if name == "class":
        # nh3 also asks about tags that it is going to drop.
        return value if tag in _CLASSES and _CLASSES[tag].fullmatch(value) else None
    if name in ("width", "height", "colspan", "rowspan", "start", "tabindex"):
        return value if _NUMBER.fullmatch(value) else None
    return value


def data_uri(data: bytes) -> str:
    """The bytes of a PNG or JPEG picture as an address that holds them."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _shift_headings(tokens: list[Token], level: int) -> None:
    """Puts the headings of a text below the page's own, in their order of depth and without a gap."""
    depths = sorted({token.tag for token in tokens if token.type == "heading_open"})
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, level + depths.index(token.tag))}"


def _show_box(item: Token, inline: Token) -> None:
    """A box at the start of a list's item becomes a sign that screen readers name, in whatever way it was ticked."""
    first = inline.children[0] if inline.children else None
    if first is not None and first.type == "text" and (match := _BOX.match(first.content)):
        sign = "☑" if is_tick(match[1]) else "☐"
        if is_tick(match[1]) or not match[1].strip():
            first.content = f"{sign} {first.content[match.end() :]}"
            item.attrSet("class", "box")


def _rendered(tokens: list[Token]) -> list[str]:
    from markdown_it.renderer import RendererHTML

    markdown = parser()
    renderer = RendererHTML()
    pieces = []
    for token in tokens:
        if token.type in ("fence", "code_block"):
            pieces.append(_code(token))
        elif token.type == "table_open":
            pieces.append('<div class="scroll"><table>')
        elif token.type == "table_close":
            pieces.append("</table></div>")
        else:
            pieces.append(renderer.render([token], markdown.options, {}))
    return pieces


def _code(token: Token) -> str:
    """A block of code, coloured where its language is known; a command that slipped onto the fence's line is shown."""
    info = token.info.strip()
    source = token.content if " " not in info else f"{info}\n{token.content}"
    coloured = escape(source) if " " in info or len(source) > _MAX_CODE else _coloured(source, info)
    return f'<pre tabindex="0"><code class="highlight">{coloured}</code></pre>'


def _coloured(source: str, language: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False) if language else None
    except ClassNotFound:
        lexer = None
    if lexer is None:
        return escape(source)
    coloured: str = highlight(source, lexer, HtmlFormatter(nowrap=True))
    return coloured
