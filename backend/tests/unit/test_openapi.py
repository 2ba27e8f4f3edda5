"""The schema that clients are made from."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from app.models.schemas import Problem
from tests.echo import create_echo_app

SCHEMA: dict[str, Any] = create_echo_app().openapi()


def operations() -> list[Any]:
    return [
        pytest.param(operation, id=operation["operationId"])
        for methods in SCHEMA["paths"].values()
        for operation in methods.values()
    ]


POSTS = {
    operation["operationId"]
    for methods in SCHEMA["paths"].values()
    for method, operation in methods.items()
    if method == "post"
}


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """What a reference refers to."""
    if "$ref" not in part:
        return part
    found: Any = SCHEMA
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)


def parameters(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in operation.get("parameters", [])}


def test_it_is_valid() -> None:
    validate(SCHEMA)


def test_asking_twice_changes_nothing() -> None:
    app = create_echo_app()
    assert app.openapi() == app.openapi() == SCHEMA


def test_it_states_the_limits() -> None:
    description = SCHEMA["info"]["description"]
    for limit in ("1048576 bytes", "100 deep", "1000 digits"):
        assert limit in description.replace("\n", " ")


def test_operations_have_ids_of_their_own() -> None:
    ids = [param.id for param in operations()]
    assert len(ids) == len(set(ids)) >= 10
    assert {"process_echo", "process_echo_async"} <= POSTS


@pytest.mark.parametrize("operation", operations())
def test_everything_is_described(operation: dict[str, Any]) -> None:
    assert operation["summary"] and operation["description"]
    assert set(operation["tags"]) <= {tag["name"] for tag in SCHEMA["tags"]}
    for parameter in operation.get("parameters", []):
        assert parameter.get("description"), parameter["name"]


@pytest.mark.parametrize("operation", operations())
def test_every_error_has_its_schema_and_an_example(operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    assert {"400", "414", "429", "431", "500", "502", "504"} <= set(answers)
    for code, answer in answers.items():
        answer = resolve(answer)
        assert "X-Request-ID" in answer["headers"]
        if int(code) < 400 or "application/json" in answer["content"]:
            continue
        content = answer["content"]["application/problem+json"]
        assert resolve(content["schema"])["title"] == "Problem"
        assert Problem(**content["example"]).status == int(code)
        assert ("Retry-After" in answer["headers"]) == (
            code in {"409", "429", "502", "503"}
        )


def shown(content: dict[str, Any]) -> tuple[Any, Any]:
    """The example that Swagger UI shows for a body, and the body's own schema."""
    schema = resolve(content["schema"])
    if "example" in content:
        return content["example"], schema
    if schema.get("type") == "array":
        items = resolve(schema["items"])
        return [items["examples"][0]], schema
    return schema["examples"][0], schema


@pytest.mark.parametrize("operation", operations())
def test_every_body_has_an_example_that_fits(operation: dict[str, Any]) -> None:
    bodies = [
        answer["content"]["application/json"]
        for code, answer in operation["responses"].items()
        if int(code) < 300 and code != "204"
    ]
    if "requestBody" in operation:
        bodies.append(operation["requestBody"]["content"]["application/json"])
    assert bodies or "204" in operation["responses"]
    for body in bodies:
        value, schema = shown(body)
        validator = Draft202012Validator({**SCHEMA, **schema})
        assert not list(validator.iter_errors(value))
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            first = parameter["schema"]["examples"][0]
            pattern = parameter["schema"].get("pattern", r"\d+")
            assert re.fullmatch(pattern, str(first))


@pytest.mark.parametrize("operation", operations())
def test_headers_that_requests_may_have(operation: dict[str, Any]) -> None:
    known = parameters(operation)
    assert known["X-Request-ID"]["in"] == "header"
    keyed = operation["operationId"] in POSTS
    assert ("Idempotency-Key" in known) == keyed
    assert ("409" in operation["responses"]) == keyed


def test_headers_that_answers_have() -> None:
    found = {
        param.id: set(answer.get("headers", {})) - {"X-Request-ID"}
        for param in operations()
        if "database" in param.values[0]["tags"]
        for code, answer in param.values[0]["responses"].items()
        if int(code) < 300
    }
    replayed = {"Location", "Idempotency-Replayed"}
    assert {name: headers for name, headers in found.items() if headers} == {
        "process_echo": replayed,
        "process_echo_async": replayed,
        "get_records": {"Link"},
        "get_logs": {"Link"},
    }
