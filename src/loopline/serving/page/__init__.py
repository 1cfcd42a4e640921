"""The page at /ui/: static files of our own, which load nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

_FOLDER = Path(__file__).parent
_FILES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
# Nothing inline, nothing from other hosts; pictures live in blobs of the page's own.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page_routes() -> APIRouter:
    """The page at /ui/, and / which leads there; the files are read once, now."""
    routes = APIRouter(include_in_schema=False)
    contents = {name: (_FOLDER / name).read_bytes() for name in _FILES}

    @routes.get("/")
    @routes.get("/ui")
    async def lead_there() -> Response:
        return RedirectResponse("/ui/")

    @routes.get("/ui/")
    async def index() -> Response:
        return Response(contents["index.html"], media_type=_FILES["index.html"], headers=_HEADERS)

    @routes.get("/ui/{name}")
    async def file(name: str) -> Response:
        if name not in contents:
            raise HTTPException(404)
        return Response(contents[name], media_type=_FILES[name], headers=_HEADERS)

    return routes
