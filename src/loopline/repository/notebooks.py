"""The code of a notebook: its code cells joined, without magics; a cell that is no Python is left out."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

_NOT_PYTHON = re.compile(r"\s*(%|!|\?|.*\?\s*$)")


def notebook_code(text: str) -> str:
    """The Python of all code cells in their order. Raises `ValueError` where the text is no notebook."""
    notebook = json.loads(text)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if cells is None and isinstance(notebook, dict):  # the third format kept cells in worksheets
        sheets = notebook.get("worksheets")
        cells = [cell for sheet in sheets or [] if isinstance(sheet, dict) for cell in sheet.get("cells") or []]
    if not isinstance(cells, list):
        raise ValueError("it has no cells")
    codes = (_cell_code(cell) for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code")
    return "\n".join(code for code in codes if _is_python(code))


def _cell_code(cell: dict[str, Any]) -> str:
    source = cell.get("source", cell.get("input", ""))
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    if text.lstrip().startswith("%%") and not re.match(r"\s*%%(time|timeit|capture|prun)\b", text):
        return ""  # a cell in another language
    return "\n".join("" if _NOT_PYTHON.match(line) else line for line in text.split("\n"))


def _is_python(code: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return bool(code.strip())
