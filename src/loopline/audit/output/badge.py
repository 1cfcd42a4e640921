"""A badge with an audit's score, as SVG."""

from __future__ import annotations

from loopline.audit.auditing import score
from loopline.audit.output.rows import open_findings
from loopline.core.records.audit import Audit

_LABEL = "audit"
# Of the page's palette; each has a contrast of 4.5 or more to white.
_GOOD, _FAIR, _BAD = "#2e7d4f", "#8a6100", "#b3372f"
_CHARACTER_PX = 7


def badge_svg(audit: Audit) -> str:
    """The score in green from 75%, in amber from 50%, else in red; errors always in red and in words."""
    share = score(audit)
    num_errors = len(open_findings(audit, at_least="error"))
    value = "no items" if share is None else f"{share:.0%}"
    colour = _BAD if share is None or share < 0.5 else _FAIR if share < 0.75 else _GOOD
    if num_errors:
        value, colour = f"{value}, {num_errors} error{'s' if num_errors > 1 else ''}", _BAD
    left, right = (len(text) * _CHARACTER_PX + 12 for text in (_LABEL, value))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{_LABEL}: {value}"><title>{_LABEL}: {value}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="3"/></clipPath><g clip-path="url(#r)">'
        f'<rect width="{left}" height="20" fill="#4a4f57"/><rect x="{left}" width="{right}" height="20" '
        f'fill="{colour}"/></g><g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" '
        f'font-size="11"><text x="{left / 2:g}" y="14">{_LABEL}</text>'
        f'<text x="{left + right / 2:g}" y="14">{value}</text></g></svg>\n'
    )
