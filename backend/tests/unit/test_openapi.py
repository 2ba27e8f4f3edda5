"""The schema from which clients are generated."""

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Query
from openapi_spec_validator import validate
from starlette.responses import PlainTextResponse, RedirectResponse, StreamingResponse

from app.api.middleware.authentication import OPEN
from app.api.openapi_parts import EXAMPLES
from app.api.security import SCOPES, requires
from app.core.auth_settings import AuthSettings
from app.core.rate_limit_settings import RateLimitSettings
from app.models.schemas import Problem
from tests import rules
from tests.echo import EchoSettings, create_echo_app
from tests.rules import Operation
from tests.team import create_team_app

ERRORS = Path(__file__).parents[3] / "docs" / "ERRORS.md"
SCHEMA: dict[str, Any] = create_echo_app().openapi()
EACH = pytest.mark.parametrize(
    "operation", [pytest.param(o, id=o.id) for o in rules.operations(SCHEMA)]
)


def parameters(operation: Operation) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in operation.content["parameters"]}


def test_it_is_valid() -> None:
    validate(SCHEMA)


def test_a_second_schema_is_equal() -> None:
    app = create_echo_app()
    assert app.openapi() == app.openapi() == SCHEMA


def test_it_states_the_limits() -> None:
    description = SCHEMA["info"]["description"]
    for limit in ("1048576 bytes", "100 deep", "1000 digits"):
        assert limit in description.replace("\n", " ")


def test_every_endpoint_follows_the_rules() -> None:
    faults = list(rules.find_faults(SCHEMA))
    assert not faults, "\n".join(faults)


@pytest.mark.promise(
    "docs/SECURITY.md",
    '`make unit ARGS="-k scope"` names each endpoint without a scope.',
)
def test_every_endpoint_names_its_scope() -> None:
    auth = AuthSettings(issuer="https://id.example", audience="kit")
    schema = create_echo_app(EchoSettings(auth=auth)).openapi()
    faults = list(rules.find_unguarded(schema, OPEN, SCOPES))
    assert not faults, "\n".join(faults)


def test_what_is_missing_for_a_scope_is_said() -> None:
    auth = AuthSettings(issuer="https://id.example", audience="kit")
    app = create_echo_app(EchoSettings(auth=auth))

    @app.get("/everybody")
    async def read_everybody() -> None: ...

    @app.get("/somebody", dependencies=[requires("some:body")])
    async def read_somebody() -> None: ...

    faults = "\n".join(rules.find_unguarded(app.openapi(), OPEN, SCOPES))
    assert "GET /everybody: it names no scope" in faults
    assert "dependencies=[requires(" in faults
    assert 'new_scope("some:body"' in faults


@EACH
def test_the_pattern_of_ids_is_published(operation: Operation) -> None:
    for name, parameter in parameters(operation).items():
        if name in ("task_id", "correlation_id"):
            texts = parameter["schema"].get("anyOf", [parameter["schema"]])
            assert "pattern" in texts[0], name


@EACH
def test_every_error_has_its_schema_and_an_example(operation: Operation) -> None:
    answers = operation.content["responses"]
    assert {"400", "414", "422", "429", "431", "500", "502", "504"} <= set(answers)
    if "requestBody" in operation.content:
        assert {"413", "415"} <= set(answers)
    for code, answer in answers.items():
        answer = operation.resolve(answer)
        assert "X-Request-ID" in answer["headers"]
        content = answer.get("content", {}).get("application/problem+json")
        if content is None:  # not an error, or one that the endpoint documents itself
            continue
        assert operation.resolve(content["schema"])["title"] == "Problem"
        assert str(Problem(**content["example"]).status) == code
        assert ("Retry-After" in answer["headers"]) == (
            code in {"409", "429", "502", "503"}
        )


def test_examples_of_errors_have_codes_that_the_api_sends() -> None:
    """Programs compare codes, and their authors copy them from the schema."""
    sent = re.findall(r"\| (\d+) \| `(\w+)` \|", ERRORS.read_text())
    shown = {(str(status), code) for status, (code, *_) in EXAMPLES.items()}
    assert shown - {*sent} == {("500", "internal_error")}  # the page has no bugs


@EACH
def test_request_headers(operation: Operation) -> None:
    known = parameters(operation)
    assert known["X-Request-ID"]["in"] == "header"
    keyed = operation.method == "post"
    assert ("Idempotency-Key" in known) == keyed
    if keyed:
        assert {"409", "413", "503"} <= set(operation.content["responses"])


@pytest.mark.parametrize(
    ("name", "code", "headers"),
    [
        ("process_echo", "200", {"Location", "Idempotency-Replayed"}),
        ("process_echo_async", "202", {"Location", "Idempotency-Replayed"}),
        ("get_records", "200", {"Link"}),
        ("get_logs", "200", {"Link"}),
        ("get_record", "200", set()),
    ],
)
def test_answer_headers(name: str, code: str, headers: set[str]) -> None:
    (operation,) = (o for o in rules.operations(SCHEMA) if o.id == name)
    found = set(operation.content["responses"][code]["headers"])
    assert found - {"X-Request-ID"} == headers


@pytest.mark.parametrize("name", ["read", "write"])
def test_the_headers_of_rate_limits(name: str) -> None:
    """Where a limit is set, and nowhere else."""
    limits = RateLimitSettings.model_validate({name: "7/hour"})
    schema = create_echo_app(EchoSettings(rate_limits=limits)).openapi()
    validate(schema)
    assert "Each caller has 7 requests with" in schema["info"]["description"]
    names = {"RateLimit", "RateLimit-Policy"}
    found = set()
    for operation in rules.operations(schema):
        for answer in operation.content["responses"].values():
            headers = set(operation.resolve(answer)["headers"])
            if "$ref" in answer:  # an error; one description serves all
                assert names <= headers
            elif names <= headers:
                found.add(operation.id)
            else:
                assert not names & headers
    assert ("get_records" in found) == (name == "read")
    assert ("process_echo" in found) == ("delete_record" in found) == (name == "write")
    assert not any("health" in each or "root" in each for each in found)
    assert "RateLimit" not in str(SCHEMA)


# Endpoints of a team, which the kit does not know.


def faults(app: FastAPI) -> list[str]:
    """The faults of a team's endpoints in such an application."""
    own = [each for each in rules.find_faults(app.openapi()) if "/team/" in each]
    return [each.replace("/api/v1/team/", "") for each in own]


def app_with(router: APIRouter) -> FastAPI:
    app = create_echo_app()
    app.include_router(router, prefix="/api/v1/team", tags=["root"])
    return app


def test_a_rule_says_which_endpoint_and_what_to_do() -> None:
    found = faults(create_team_app())
    assert (
        "POST notes: the body has no example. Write model_config = "
        "example(...) in Note; import example from app.models.schemas." in found
    )
    assert (
        "GET echo/{name}: its parameter word has no description. "
        "Write Annotated[..., Query(description=...)]." in found
    )
    assert (
        "GET echo/{name}: its parameter name has no example. "
        "Write Annotated[..., Path(examples=[...])]." in found
    )
    # Forms, uploads and plain values have no rule.
    assert not [each for each in found if each.startswith(("POST form", "POST upl"))]


def test_every_endpoint_can_be_reached() -> None:
    found = list(rules.find_shadowed(create_echo_app()))
    assert not found, "\n".join(found)


@pytest.mark.promise(
    "docs/ENDPOINTS.md", "A test names each endpoint that another one hides."
)
def test_an_endpoint_that_another_shadows_is_named() -> None:
    router = APIRouter()

    async def read() -> None: ...

    async def read_latest() -> None: ...

    router.get("/invoices/{number:int}")(read)
    router.get("/invoices/{key}")(read)
    router.delete("/invoices/latest")(read)
    router.get("/invoices/latest")(read_latest)
    (found,) = rules.find_shadowed(app_with(router))
    assert found.startswith("GET /api/v1/team/invoices/latest: read comes first, and ")
    assert "/api/v1/team/invoices/{key} matches too." in found
    router.delete("/invoices/latest")(read_latest)
    assert len(list(rules.find_shadowed(app_with(router)))) == 2


def test_names_and_tags_and_docstrings() -> None:
    router = APIRouter()

    async def read() -> None: ...

    router.get("/a", tags=["unheard"])(read)
    router.get("/b")(read)
    with pytest.warns(UserWarning, match="Duplicate Operation ID"):
        found = faults(app_with(router))
    assert "GET a: it has no description. Give its function a docstring." in found
    assert any(each.startswith("GET a: nothing describes its tag") for each in found)
    assert (
        "GET b: GET a has the same operation id, read. "
        "Give one of the two functions another name." in found
    )


def test_answers_of_every_kind_follow_the_rules() -> None:
    router = APIRouter()

    @router.get("/moved", status_code=307, response_class=RedirectResponse)
    async def read_moved() -> str:
        """An answer without a body."""
        return "/"

    @router.get("/text", response_class=PlainTextResponse)
    async def read_text() -> str:
        """Text."""
        return ""

    @router.get("/parts", response_class=StreamingResponse)
    async def read_parts() -> None:
        """Bytes, as they come."""

    @router.get("/gone", responses={410: {}, 499: {"description": "Left"}})
    async def read_gone() -> dict[str, int]:
        """Errors that the kit itself never returns."""
        return {}

    @router.delete("/any", responses={"4XX": {"description": "A"}, "default": {}})
    async def delete_any(number: int = Query(description="One.")) -> int:
        """Answers without a fixed status."""
        return number

    app = app_with(router)
    assert not faults(app)
    schema = app.openapi()
    validate(schema)
    gone = schema["components"]["responses"]["Error410"]
    assert gone["content"]["application/problem+json"]["example"]["code"] == "gone"
