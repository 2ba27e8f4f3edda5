"""What goes in as a file, and what is asked of another server; through nginx."""

import pytest

from tests.e2e.client import Api, assert_problem, wait_for

IMPORTS, ORDERS = "/api/v1/order-imports", "/api/v1/orders"


def test_orders_from_a_file(api: Api) -> None:
    answer = api.http.post(IMPORTS, files={"file": "figs\nplums\n".encode()})
    assert (answer.status_code, answer.json()) == (201, {"created": 2})
    titles = [row["title"] for row in api.get_json(ORDERS, limit=2)]
    assert titles == ["plums", "figs"]
    assert_problem(api.http.post(IMPORTS, json={}), 415)


@pytest.mark.parametrize(
    ("currency", "status"), [("XXX", 404), ("BAD", 503), ("u", 422)]
)
def test_a_rate_that_there_is_not(api: Api, currency: str, status: int) -> None:
    assert_problem(api.http.get(f"/api/v1/rates/{currency}"), status)


def test_a_rate(api: Api) -> None:
    assert api.get_json("/api/v1/rates/USD") == {"currency": "USD", "rate": 1.5}


def test_a_server_that_is_too_slow(api: Api) -> None:
    assert_problem(api.http.get("/api/v1/rates/ZZZ"), 504, "deadline_exceeded")


def test_an_order_expires(api: Api) -> None:
    """By the setting that the test gives to the worker and to beat."""
    place = api.http.post(ORDERS, json={"title": "apple"}).headers["Location"]
    wait_for(lambda: api.get_json(place)["status"] == "expired", "the end of the order")
