"""What the worker does with orders, seen through nginx."""

from tests.e2e.client import Api, assert_problem, wait_for

URL = "/api/v1/orders"


def test_an_order_is_priced_later(api: Api) -> None:
    place = api.http.post(URL, json={"title": "pear"}).headers["Location"]
    assert api.get_json(place)["total"] is None
    accepted = api.http.post(f"{place}/price")
    assert accepted.status_code == 202, accepted.text
    total = wait_for(lambda: api.get_json(place)["total"], "the price of the order")
    assert total == 30
    assert_problem(api.http.post(f"{URL}/{2**60}/price"), 404)
