"""Swagger UI and ReDoc, with the scripts and styles from fastapi-offline."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.openapi.docs import (
    get_redoc_html,
    get_swagger_ui_html,
    get_swagger_ui_oauth2_redirect_html,
)
from fastapi.staticfiles import StaticFiles
from starlette.responses import HTMLResponse, JSONResponse

from app.api.asyncapi import ASYNCAPI_URL, asyncapi_document
from app.api.sign_in import SignIn

OPENAPI_URL = "/api/v1/openapi.json"
DOCS_URL = "/api/v1/docs"
REDOC_URL = "/api/v1/redoc"
LOGIN_URL = f"{DOCS_URL}/oauth2-redirect"
ASSETS_URL = "/api/v1/docs-assets"

# The browser may load from this API only, whatever the scripts ask for. ReDoc would
# fetch its vendor's logo, and it searches in a worker made from a blob.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src blob:"
)


def install_docs_pages(app: FastAPI, sign_in: SignIn | None) -> None:
    """Serve both pages and their assets, and the AsyncAPI document; Swagger UI signs in
    by ``sign_in``."""
    app.mount(ASSETS_URL, StaticFiles(directory=_assets()), name="docs-assets")

    @app.get(DOCS_URL, include_in_schema=False)
    async def read_docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        page = get_swagger_ui_html(
            openapi_url=f"{root}{OPENAPI_URL}",
            title=f"{app.title} - Swagger UI",
            oauth2_redirect_url=f"{root}{LOGIN_URL}",
            swagger_js_url=f"{root}{ASSETS_URL}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{ASSETS_URL}/swagger-ui.css",
            swagger_favicon_url=f"{root}{ASSETS_URL}/favicon.png",
            init_oauth=sign_in.options() if sign_in else None,
        )
        return _careful(page, sign_in.origin() if sign_in else None)

    @app.get(ASYNCAPI_URL, include_in_schema=False)
    async def read_asyncapi() -> JSONResponse:
        return JSONResponse(asyncapi_document(app.state.settings, app.version))

    @app.get(LOGIN_URL, include_in_schema=False)
    async def read_login() -> HTMLResponse:
        return _careful(get_swagger_ui_oauth2_redirect_html())

    @app.get(REDOC_URL, include_in_schema=False)
    async def read_redoc(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        page = get_redoc_html(
            openapi_url=f"{root}{OPENAPI_URL}",
            title=f"{app.title} - ReDoc",
            redoc_js_url=f"{root}{ASSETS_URL}/redoc.standalone.js",
            redoc_favicon_url=f"{root}{ASSETS_URL}/favicon.png",
            with_google_fonts=False,
        )
        return _careful(page)


def _careful(page: HTMLResponse, asks: str | None = None) -> HTMLResponse:
    """``asks`` is an origin that the page may send requests to, beside ours."""
    more = f"; connect-src 'self' {asks}" if asks else ""
    page.headers["Content-Security-Policy"] = f"{POLICY}{more}"
    return page


def _assets() -> Path:
    """The folder of assets, found without importing the package: only its files are
    used."""
    spec = find_spec("fastapi_offline")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).with_name("static")
