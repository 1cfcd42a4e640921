"""What a reader sees of an answer: its words and its pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_URL = re.compile(r"(?:https?|ftp|gs|s3)://\S+|\bwww\.\S+", re.I)
_WORD = re.compile(r"[^\W_]")
# A picture whose address has spaces is none in Markdown, although its author meant one.
_LOOSE_IMAGE = re.compile(
    r"!\[([^\[\]\n]{0,300})\]\(\s*<?([^()<>\n]{1,300}?\.(?:png|jpe?g|gif|svg|webp|bmp))>?\s*\)", re.I
)


@dataclass(frozen=True)
class Image:
    """A picture in an answer: the address as written, without escapes, and the words for who cannot see it."""

    address: str
    alt: str


@dataclass(frozen=True)
class Counted:
    """An answer's number of words, as a reader counts them, and its pictures in order."""

    num_words: int
    images: tuple[Image, ...]


def count(answer: str) -> Counted:
    """Counts an answer's words (runs of characters with a letter or a digit) and lists its pictures. Never raises.

    Markup, addresses, comments, rules of tables and pictures are no words; the text of links and code is.
    """
    images: list[Image] = []

    def note(match: re.Match[str]) -> str:
        images.append(Image(unquote(match[2].strip()), match[1]))
        return " "

    # Only what Markdown takes for text is looked at: an address without spaces is a picture anyhow.
    texts = []
    for piece in _pieces(parser().parse(answer)):
        if isinstance(piece, Image):
            images.append(piece)
        else:
            texts.append(_LOOSE_IMAGE.sub(note, piece))
    plain = _URL.sub(" ", " ".join(texts))
    return Counted(sum(1 for word in plain.split() if _WORD.search(word)), tuple(images))


@cache
def parser() -> MarkdownIt:
    """The one reading of Markdown: CommonMark with tables and strikethrough; HTML in it is kept as HTML."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def _pieces(tokens: list[Token]) -> Iterator[str | Image]:
    for token in tokens:
        if token.type == "inline":
            yield from _inline(token.children or [])
        elif token.type in ("fence", "code_block"):
            # A language is markup; a whole command on the fence's own line is code that slipped up there.
            yield _code(f"{token.info if ' ' in token.info.strip() else ''} {token.content}")
        elif token.type == "html_block":
            yield from _html(token.content)


def _inline(tokens: list[Token]) -> Iterator[str | Image]:
    """Text within one block; neighbours are one word, as in **w**ord."""
    text = ""
    for token in tokens:
        if token.type == "image":
            yield text
            text = ""
            yield Image(unquote(str(token.attrGet("src") or "")), token.content)
        elif token.type == "html_inline":
            for piece in _html(token.content):
                if isinstance(piece, Image):
                    yield piece
        elif token.type in ("softbreak", "hardbreak"):
            text += "\n"
        elif token.type == "text":
            text += token.content
        elif token.type == "code_inline":
            text += _code(token.content)
    yield text


def _code(text: str) -> str:
    """Code as words: a picture's Markdown in it shows no picture."""
    return text.replace("![", "! [")


def _html(source: str) -> Iterator[str | Image]:
    reader = _Html()
    reader.feed(source)
    reader.close()
    yield from reader.pieces


class _Html(HTMLParser):
    """The visible text and the pictures of a piece of HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str | Image] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._hidden += 1
        elif tag == "img":
            values = dict(attrs)
            self.pieces.append(Image(unquote(values.get("src") or ""), unescape(values.get("alt") or "")))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hidden = max(0, self._hidden - 1)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data)
