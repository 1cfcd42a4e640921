"""`fashion@champion`, `fashion@3`, `fashion`: the text by which a user names a version."""

from __future__ import annotations

from loopline.core.errors import InputError

DEFAULT_ALIAS = "champion"
_NAME_LENGTH = 100


def parse_reference(reference: str) -> tuple[str, str]:
    """`fashion@3` or `fashion@champion` as (name, number or alias); `fashion` alone means its champion.

    Raises `InputError` for anything else.
    """
    name, separator, selector = reference.partition("@")
    if not name or (separator and not selector) or "@" in selector:
        raise InputError(f"'{reference}' given; expected NAME@ALIAS or NAME@NUMBER.", next_command="loopline models")
    check_name(name, kind="model name")
    return name, selector or DEFAULT_ALIAS


def check_name(name: str, *, kind: str) -> None:
    """Raises `InputError` unless `name` can stand before or behind the @ of a reference, in a path and in a query."""
    allowed = all(letter.isascii() and (letter.isalnum() or letter in "_.-") for letter in name)
    if not name or not allowed or name[0] in ".-" or len(name) > _NAME_LENGTH:
        raise InputError(f"{kind} '{name}' given; expected up to {_NAME_LENGTH} letters, digits, '_', '.' and '-'.")
