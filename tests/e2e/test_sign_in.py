"""An API that accepts the tokens of a provider that is not ours, and its gateway."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from local.apps import api as api_process
from local.ports import free_port
from local.servers.nginx import find_binary
from local.stack import Stack
from local.state import State
from tests.e2e.browser import Browser
from tests.e2e.client import RECORDS, Api, assert_problem, wait_for
from tests.e2e.conftest import HOST
from tests.e2e.gateway import Gateway
from tests.oidc.server import AUDIENCE, OidcProvider, start_oidc_provider, with_key

SCOPES = ["data:process", "records:read", "records:delete", "events:read"]
SCOPES += ["metrics:read", "webhooks:manage", "admin"]
METRICS = "/api/v1/metrics"

OPERATION = f'.opblock-summary-path[data-path="{METRICS}"]'
STATUS = (
    "document.querySelector('.live-responses-table tr.response .response-col_status')"
)


class Guarded(NamedTuple):
    """An API with authentication, behind its gateway."""

    api: Api
    provider: OidcProvider
    site: str

    def get(self, path: str, token: str) -> Any:
        return self.api.http.get(path, headers={"Authorization": f"Bearer {token}"})

    def wait_health(self, status: str) -> None:
        """The API caches its health for a second."""

        def has_status() -> bool:
            parts = self.api.get_json("/health")["dependencies"]
            return bool(parts["identity-provider"]["status"] == status)

        wait_for(has_status, f"the provider to be {status} in /health")


@pytest.fixture(scope="module")
def guarded(state: State, stack: Stack) -> Iterator[Guarded]:
    if find_binary() is None:
        pytest.skip("there is no nginx")
    port = free_port()
    site = f"http://{HOST}:{port}"
    provider = OidcProvider(
        state, scopes=SCOPES, redirects=[f"{site}/api/v1/docs/oauth2-redirect"]
    )
    auth = {"AUTH_ISSUER": provider.issuer, "AUTH_AUDIENCE": AUDIENCE}
    env = {**stack.env, **auth, "AUTH_CLIENT_ID": "browser"}
    process = api_process("sign-in-api", state, env, free_port())
    gateway = Gateway(state, port, [process.port])
    with ExitStack() as started:
        start_oidc_provider(provider)
        for server in (provider, process, gateway):
            started.callback(server.stop)
            server.start()
        client = Api(gateway.url)
        started.callback(client.close)
        found = Guarded(client, provider, site)
        found.wait_health("up")
        yield found


def prompted(browser: Browser, prompt: str) -> str:
    """The provider's form with which it prompts for this."""
    return browser.find(f"document.querySelector('form:has([value={prompt}])')")


def test_a_service_account(guarded: Guarded) -> None:
    assert_problem(guarded.api.http.get(RECORDS), 401, "unauthenticated")
    token = guarded.provider.token("records:read")
    assert guarded.get(RECORDS, token).status_code == 200
    assert_problem(guarded.get(METRICS, token), 403, "insufficient_scope")


def test_swagger_ui_signs_in(guarded: Guarded, browser: Browser) -> None:
    browser.asked.clear()
    browser.errors.clear()
    browser.call("Page.navigate", url=f"{guarded.site}/api/v1/docs")
    browser.click(".scheme-container .authorize")
    ticked = "[...document.querySelectorAll('.scopes input:checked')]"
    browser.wait(f"{ticked}.length >= {len(SCOPES) - 1}")  # a team may have more
    left = "[...document.querySelectorAll('.scopes input:not(:checked)')]"
    assert browser.evaluate(f"{left}.map(each => each.dataset.value)") == ["admin"]
    browser.click(".auth-btn-wrapper .authorize")
    with browser.popup():
        form = prompted(browser, "login")
        browser.evaluate(f"{form}.login.value = {form}.password.value = 'ann'")
        browser.evaluate(f"{form}.submit()")
        browser.evaluate(f"{prompted(browser, 'consent')}.submit()")
    browser.wait("document.querySelector('.modal-ux').innerText.includes('Logout')")
    browser.click(".auth-btn-wrapper .btn-done")
    browser.click(OPERATION)
    browser.click(".opblock.is-open .try-out__btn")
    browser.click(".opblock.is-open .execute")
    browser.wait(STATUS)
    assert browser.evaluate(f"{STATUS}.innerText").startswith("200")
    # The page itself asks for the token only: the popup is a window of its own.
    asked = [url for url in browser.asked.values() if not url.startswith(guarded.site)]
    foreign = {url.partition("?")[0] for url in asked if not url.startswith("data:")}
    assert foreign == {f"{guarded.provider.issuer}/token"}
    assert not browser.errors


@pytest.mark.chaos
def test_an_outage_of_the_provider(guarded: Guarded) -> None:
    def is_unknown() -> bool:
        stranger = with_key("unknown", old)
        return bool(guarded.get(RECORDS, stranger).status_code == 503)

    old = guarded.provider.token("records:read")
    assert guarded.get(RECORDS, old).status_code == 200
    guarded.provider.kill()
    # The API asks for an unknown key, ten seconds after the last attempt or later.
    wait_for(is_unknown, "the outage to be noticed")
    guarded.wait_health("down")
    assert guarded.get(RECORDS, old).status_code == 200
    guarded.provider.keys = ["two"]
    guarded.provider.start()
    guarded.wait_health("up")
    new = guarded.provider.token("records:read")
    assert guarded.get(RECORDS, new).status_code == 200
    assert_problem(guarded.get(RECORDS, old), 401, "invalid_token")
