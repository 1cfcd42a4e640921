"""The page at /ui/ and the one at /docs: static files of our own, which load nothing from elsewhere.

Every page is `shell.html` with a main part and a script of its own; which one, the bundle's task and input kind decide.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from loopline.core.records import ModelBundle

_FOLDER = Path(__file__).parent
_HTML, _SCRIPT = "text/html; charset=utf-8", "text/javascript; charset=utf-8"
_ASSETS = {
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    # What the pages share: asking the server, the head of the page; then cards with answers.
    "server.js": _SCRIPT,
    "cards.js": _SCRIPT,
    # One of each page's own.
    "pictures.js": _SCRIPT,
    "bands.js": _SCRIPT,
    "box.js": _SCRIPT,
    "translate.js": _SCRIPT,
    "docs.js": _SCRIPT,
}
# A page is a main part and a script of one name; a kind that is not named here is typed into a box.
_PAGE_OF_KIND = {"image": "pictures", "bands": "bands"}
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


def page_routes(bundle: ModelBundle) -> APIRouter:
    """The page at /ui/ for a bundle of this task and input kind, and / which leads there."""
    routes = APIRouter(include_in_schema=False)
    page = "translate" if bundle.task == "translation" else _PAGE_OF_KIND.get(bundle.input_kind, "box")
    content = _page(page, root="../")

    @routes.get("/")
    @routes.get("/ui")
    async def lead_there() -> Response:
        return RedirectResponse("/ui/")

    @routes.get("/ui/")
    async def ui() -> Response:
        return Response(content, media_type=_HTML, headers=_HEADERS)

    return routes


def docs_routes() -> APIRouter:
    """The description of the routes at /docs."""
    routes = APIRouter(include_in_schema=False)
    content = _page("docs", root="./")

    @routes.get("/docs")
    async def docs() -> Response:
        return Response(content, media_type=_HTML, headers=_HEADERS)

    return routes


def asset_routes() -> APIRouter:
    """The files that /docs and the page at /ui/ need; read once, now."""
    routes = APIRouter(include_in_schema=False)
    assets = {name: (_FOLDER / name).read_bytes() for name in _ASSETS}

    @routes.get("/ui/{name}")
    async def asset(name: str) -> Response:
        if name not in assets:
            raise HTTPException(404)
        return Response(assets[name], media_type=_ASSETS[name], headers=_HEADERS)

    return routes


def _page(name: str, *, root: str) -> bytes:
    """The shell with a page's main part and script in it; `root` leads from the page's address to the server's."""
    parts = {part: (_FOLDER / f"{part}.html").read_text(encoding="utf-8").strip() for part in ("shell", name, "cards")}
    main = parts[name].replace("{{ cards }}", parts["cards"])
    page = parts["shell"].replace("{{ main }}", main).replace("{{ script }}", f"{name}.js").replace("{{ root }}", root)
    return page.encode()
