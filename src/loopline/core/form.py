"""One file as the body of a form, as a browser sends it: what our own clients post to `/predict`."""

from __future__ import annotations

import secrets


def file_form(raw: bytes, *, filename: str) -> tuple[bytes, str]:
    """The body of a multipart form whose field `file` holds `raw`, and its content type (RFC 7578)."""
    boundary = secrets.token_hex(16)
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
    return head.encode() + raw + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
