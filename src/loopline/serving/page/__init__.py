"""The page at /ui: three static files of our own, which load nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, RedirectResponse, Response

_FOLDER = Path(__file__).parent
_FILES = {"index.html": "text/html", "style.css": "text/css", "page.js": "text/javascript"}
# Nothing inline, nothing from other hosts; pictures and the camera live in blobs of the page's own.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add_page(app: FastAPI) -> None:
    """Serves the page at /ui/ and sends / there."""

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("ui/")

    @app.get("/ui/", include_in_schema=False)
    async def index() -> Response:
        return _file("index.html")

    @app.get("/ui/style.css", include_in_schema=False)
    async def style() -> Response:
        return _file("style.css")

    @app.get("/ui/page.js", include_in_schema=False)
    async def script() -> Response:
        return _file("page.js")


def _file(name: str) -> Response:
    return FileResponse(_FOLDER / name, media_type=_FILES[name], headers=_HEADERS)
