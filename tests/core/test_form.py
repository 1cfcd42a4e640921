"""A form with one file, read by the parser that servers read it with."""

from __future__ import annotations

import pytest

from loopline.core.form import file_form
from loopline.serving.multipart import parse_files


@pytest.mark.parametrize("raw", [b"", b"\r\n--", bytes(range(256)) * 40])
def test_a_file_arrives_as_it_is(raw: bytes) -> None:
    """Whatever its bytes; no boundary is in them, for each form draws its own."""
    body, content_type = file_form(raw, filename="a.png")
    (file,) = parse_files(body, content_type, field="file", max_files=1)
    assert (file.name, file.data) == ("a.png", raw)
    assert file_form(raw, filename="a.png")[1] != content_type
