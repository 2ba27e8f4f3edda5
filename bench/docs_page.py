"""`python -m bench.docs_page`: how soon a browser without a cache shows Swagger UI."""

import sys
import tempfile
from pathlib import Path

from bench.setting import open_setting, running
from tests.e2e.browser import Browser, find_chromium

HOST = "127.0.0.1"
ROUNDS = 5

# Milliseconds from the navigation until the first operation is there.
FIRST_RENDER = """new MutationObserver((_, observer) => {
    if (!document.querySelector(".opblock")) return;
    observer.disconnect();
    const note = () => { document.body.dataset.firstRender = performance.now() };
    requestAnimationFrame(note);
}).observe(document, {subtree: true, childList: true})"""


def main() -> int:
    """Print the milliseconds of each round; 1 if there is no browser."""
    binary = find_chromium()
    if binary is None:
        print("chromium is missing and cannot be installed")
        return 1
    with (
        open_setting(seconds=1, rounds=1) as setting,
        tempfile.TemporaryDirectory() as profile,
    ):
        kit = setting.kit()
        with running([*kit.apis, *kit.services]):
            browser = Browser(binary, Path(profile), [HOST])
            try:
                took = [render(browser, kit.api_url) for _ in range(ROUNDS)]
            finally:
                browser.close()
    shown = ", ".join(f"{milliseconds:.0f}" for milliseconds in took)
    print(f"first operation of /api/v1/docs after {shown} ms (target: below 1,000)")
    return 0


def render(browser: Browser, url: str) -> float:
    """Milliseconds of one visit."""
    browser.call("Page.addScriptToEvaluateOnNewDocument", source=FIRST_RENDER)
    browser.call("Network.setCacheDisabled", cacheDisabled=True)
    browser.call("Page.navigate", url=f"{url}/api/v1/docs")
    browser.wait("document.body.dataset.firstRender")
    return float(browser.evaluate("document.body.dataset.firstRender"))


if __name__ == "__main__":
    sys.exit(main())
