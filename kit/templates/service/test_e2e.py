"""The speci men service, through nginx."""

from tests.e2e.client import Api, assert_problem

URL = "/api/v1/speci-men/process"


def test_it_answers_and_keeps_a_record(api: Api) -> None:
    answer = api.post(URL, "hello")
    assert answer.status_code == 200, answer.text
    outcome = answer.json()["outcome"]
    assert outcome == {"status": "success", "input": "hello", "output": "hello"}
    record = api.get_json(answer.headers["Location"])
    assert (record["task_type"], record["outcome"]) == ("speci-men", outcome)


def test_it_is_in_the_documentation(api: Api) -> None:
    assert URL in api.get_json("/api/v1/openapi.json")["paths"]


def test_other_values_are_refused(api: Api) -> None:
    assert_problem(api.post(URL, 1), 422)
