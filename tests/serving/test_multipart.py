"""One plain file is cut out of its body as the parser would read it; all else goes through the parser."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loopline.serving import multipart
from loopline.serving.multipart import File, parse_files
from loopline.serving.refusals import Refusal

KIND = "multipart/form-data; boundary=b"
HEAD = b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n'
# What bodies are made of, whole and broken.
HEADERS = [
    HEAD,
    HEAD + b"\r\n",
    b"Content-Type: image/png\r\n",
    b"content-disposition:form-data;name=file;filename=\r\n",
]
ODD_HEADERS = [b"Content-Disposition: form-data; name=file\r\n", b" folded\r\n", b"X:\r\n", b": x\r\n", b"X: \x00\r\n"]
LINES = [
    b"--b\r\n",
    b"--b",
    b"--b--",
    b"\r\n--b--\r\n",
    b"\r\n--b\r\n",
    b"\r\n--b",
    b"\r\n",
    b"\n",
    b"\r",
    b"--",
    b"\x89P",
]
PIECES = st.lists(st.sampled_from(HEADERS + ODD_HEADERS + LINES), max_size=5).map(b"".join)
FORMS = st.tuples(
    st.just(b"--b\r\n"), st.sampled_from(HEADERS), PIECES, st.just(b"\r\n\r\n"), PIECES, st.just(b"\r\n--b--"), PIECES
).map(b"".join)


def said(body: bytes, content_type: str = KIND) -> Any:
    """The files, or the refusal's code and sentence."""
    try:
        return parse_files(body, content_type, field="file", max_files=2)
    except Refusal as refusal:
        return refusal.status, refusal.code, str(refusal)


@given(st.one_of(FORMS, PIECES))
@example(b"--b\r\n" + HEAD + b"\r\n\x89PNG\r\n--b--\r\n")
@example(b"--b\r\n" + HEAD + b"\r\n\x89PNG\r\n--b--\r\nafter it")
@example(b"--b\r\n" + HEAD + b"\r\n--b--\r\n")
@example(b"--b\r\n" + HEAD + b"\r\n\r\n--b--")
@example(b"--b\r\n" + HEAD + b"X:\r\n\r\n1\r\n--b--")
@example(b"--b\r\n" + HEAD + b"\r\n1\r\n--bc\r\n--b--")
def test_both_ways_say_the_same(body: bytes) -> None:
    """The way past the parser gives what the parser gives, for any body."""
    quick = said(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multipart, "_only_file", lambda *_, **__: None)
        assert said(body) == quick


def test_a_plain_file_does_not_meet_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the headers that clients send, in any order and any spelling."""
    monkeypatch.delattr(multipart, "MultipartParser")
    rest = b"\r\n\r\n\x00\r\n--a\r\n--b--\r\n"
    for head in (HEAD[:-2], HEAD + b"Content-Type: image/png", b"content-type:image/png\r\n" + HEAD[:-2]):
        assert said(b"--b\r\n" + head + rest) == [File("a.png", b"\x00\r\n--a")]


def test_a_long_header_is_read_and_not_kept() -> None:
    """What clients may repeat is bounded, in number and in length."""
    multipart._kept_options.cache_clear()
    assert said(b"--b\r\n" + HEAD + b"\r\n1\r\n--b--", f"{KIND}; x={'y' * 600}") == [File("a.png", b"1")]
    assert multipart._kept_options.cache_info().currsize == 1
