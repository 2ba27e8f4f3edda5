"""Swagger UI and ReDoc in a browser, without the internet."""

from tests.e2e.browser import Browser
from tests.e2e.client import Api


def count_operations(api: Api) -> int:
    """The number of operations in the schema; an operation counts once for each of its
    tags."""
    paths = api.get_json("/api/v1/openapi.json")["paths"]
    found = [each for methods in paths.values() for each in methods.values()]
    return sum(max(1, len(each.get("tags", []))) for each in found)


def test_swagger_ui_shows_every_operation(
    api: Api, browser: Browser, site: str
) -> None:
    browser.call("Page.navigate", url=f"{site}/api/v1/docs")
    shown = "document.querySelectorAll('.opblock').length"
    browser.wait(f"{shown} == {count_operations(api)}")


def test_redoc_shows_every_operation(api: Api, browser: Browser, site: str) -> None:
    browser.call("Page.navigate", url=f"{site}/api/v1/redoc")
    shown = "document.querySelectorAll('li[data-item-id*=operation]').length"
    browser.wait(f"{shown} == {count_operations(api)}")
    browser.wait("document.body.innerText.includes('Records, newest first')")
    browser.wait("[...document.images].every(each => each.naturalWidth)")
