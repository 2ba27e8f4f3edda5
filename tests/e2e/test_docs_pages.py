"""Swagger UI and ReDoc as a person meets them: in a browser, without the internet.

`SCREENSHOT=docs/swagger-ui.png make e2e ARGS="-k swagger"` keeps the picture.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local.apps import ROOT
from local.stack import Stack
from tests.e2e.browser import Browser, find_chromium

# No name of this machine: for "localhost" Swagger UI leaves out what asks the internet.
HOST = "kit.example"

PROCESS = "#operations-data-process_data"
ANSWER = f"{PROCESS} .live-responses-table"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    binary = find_chromium()
    if binary is None:
        pytest.skip("chromium is missing and apt-get cannot install it")
    browser = Browser(binary, tmp_path_factory.mktemp("chromium"), [HOST])
    size = {"width": 1200, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    yield browser
    browser.close()


@pytest.fixture
def site(stack: Stack, browser: Browser) -> Iterator[str]:
    """The gateway's address; afterwards nothing else must have been asked."""
    browser.asked.clear()
    browser.errors.clear()
    site = f"http://{HOST}:{urlsplit(stack.url).port}"
    yield site
    strangers = {
        url
        for url in browser.asked.values()
        if not url.startswith((f"{site}/", "data:", "blob:"))
    }
    assert browser.asked and not strangers
    assert not browser.errors


def test_swagger_ui_executes_a_request(browser: Browser, site: str) -> None:
    browser.call("Page.navigate", url=f"{site}/api/v1/docs")
    browser.click(f"{PROCESS} .opblock-summary-control")
    browser.click(f"{PROCESS} .try-out__btn")
    browser.click(f"{PROCESS} .execute")
    browser.wait(f"document.querySelector('{ANSWER} .response-col_status')")

    status = browser.evaluate(
        f"document.querySelector('{ANSWER} tbody .response-col_status').innerText"
    )
    body = browser.evaluate(f"document.querySelector('{ANSWER} code').innerText")
    assert status.split()[0] == "200"
    result = json.loads(body)
    assert result["task_status"] == "Success"
    assert result["outcome"]["output"] == "HELLO WORLD"
    assert f"{site}/api/v1/data/process" in browser.asked.values()
    _keep(browser)


def _keep(browser: Browser) -> None:
    request = f"{PROCESS} .opblock-section-request-body"
    browser.evaluate(f"document.querySelector('{request}').scrollIntoView()")
    if place := os.environ.get("SCREENSHOT"):
        (ROOT / Path(place)).write_bytes(browser.screenshot())


def test_swagger_ui_shows_every_operation(browser: Browser, site: str) -> None:
    browser.call("Page.navigate", url=f"{site}/api/v1/docs")
    browser.wait("document.querySelectorAll('.opblock').length == 12")


def test_redoc_shows_every_operation(browser: Browser, site: str) -> None:
    browser.call("Page.navigate", url=f"{site}/api/v1/redoc")
    browser.wait(
        "document.querySelectorAll('li[data-item-id*=operation]').length == 12"
    )
    browser.wait("document.body.innerText.includes('Have the data service process')")
    browser.wait("[...document.images].every(each => each.naturalWidth)")
