"""Speci mens, through nginx."""

from uuid import uuid4

from tests.e2e.client import Api, assert_problem

URL = "/api/v1/speci-mens"


def test_the_life_of_one(api: Api) -> None:
    created = api.http.post(URL, json={"title": "Grüße", "note": "n"})
    assert created.status_code == 201, created.text
    place = created.headers["Location"]
    assert api.get_json(place) == created.json()
    assert created.json() in api.get_json(URL)
    replaced = api.http.put(place, json={"title": "b"})
    assert replaced.status_code == 200, replaced.text
    assert (replaced.json()["title"], replaced.json()["note"]) == ("b", None)
    assert api.get_json(place) == replaced.json()
    assert api.http.delete(place).status_code == 204
    assert_problem(api.http.get(place), 404, "not_found")
    assert_problem(api.http.delete(place), 404)


def test_twice_under_one_key_is_once(api: Api) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first, second = (api.send(URL, b'{"title": "a"}', **key) for _ in range(2))
    assert first.status_code == second.status_code == 201, first.text
    assert second.json() == first.json()
    assert second.headers["Idempotency-Replayed"] == "true"


def test_pages_follow_each_other(api: Api) -> None:
    ids = [api.http.post(URL, json={"title": t}).json()["id"] for t in "abc"]
    pages = api.pages(URL, limit=2)
    seen = [row["id"] for page in pages for row in page]
    assert [each for each in seen if each in ids] == ids[::-1]


def test_other_values_are_refused(api: Api) -> None:
    for body in ({}, {"title": ""}, {"title": 1}, {"title": "a", "more": 1}):
        assert_problem(api.http.post(URL, json=body), 422)
    assert_problem(api.http.get(f"{URL}/0"), 422)
