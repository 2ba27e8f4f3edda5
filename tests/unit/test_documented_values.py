"""What documents say beside the name of a setting is its default, or a value that it
accepts; their ports and times to stop are those of the containers."""

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.apps import ROOT
from tests.unit.documents import documents, prose

# Other tests hold this file against the classes of settings and the compose file.
DEFAULTS = dict(
    re.findall(
        r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$",
        (ROOT / ".env.example").read_text(),
        re.MULTILINE,
    )
)
VALUES = dict(
    re.findall(
        r"^\| `(\w+)` \|.*?\| (.*?) \|",
        (ROOT / "docs" / "CONFIGURATION.md").read_text(),
        re.MULTILINE,
    )
)
# A page may say what is set beside it, and one about Kubernetes what is set there.
OF_KUBERNETES = ROOT / "docs" / "DEPLOYMENT.md"
SET = [*ROOT.glob("backend/*-config.env"), *ROOT.glob("services/**/*-config.env")]

UNITS = {
    "": 1.0,
    "s": 1.0,
    "ms": 0.001,
    "minutes": 60.0,
    "hours": 3600.0,
    "days": 86400.0,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "m": 2.0**20,  # of nginx
}
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)"
QUANTITY = re.compile(rf"(an hour|{NUMBER})(?: ?({'|'.join(filter(None, UNITS))})\b)?")
NAME = r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)`"
NAMES = re.compile(rf"{NAME}(?:, {NAME})*(?=:|$)")
BESIDE = (
    re.compile(rf"{NAME}(?: is| =|,|:)? \(?({QUANTITY.pattern})(?![\w.])"),
    re.compile(rf"(?P<value>{QUANTITY.pattern}) \((?P<name>{NAME})\)"),
)
SAID = re.compile(rf"{NAME} is `([^`]+)`")

Claim = tuple[str, str]


def plain(container: str) -> str:
    """The name without the project's, which some have in the compose file only."""
    return container.removeprefix("fastapi-starter-")


COMPOSE_FILE = (ROOT / "docker-compose.yml").read_text()
COMPOSE_FILE = COMPOSE_FILE.replace("${CONTAINER_PREFIX:-}", "")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE)["services"]
CONTAINERS = {plain(each["container_name"]): each for each in COMPOSE.values()}
SERVERS = {
    **{"gateway": "nginx", "nginx": "nginx", "API": "api", "Redis": "redis"},
    **{"PostgreSQL": "postgres", "RabbitMQ": "rabbitmq"},
}


def claims(text: str) -> Iterator[Claim]:
    """Each name of a setting with the value beside it; empty for "unset"."""
    headings: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            headings = []
            yield from _in_a_sentence(line)
            continue
        row = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        headings = headings or row
        yield from _in_a_row(headings, row)


def _in_a_sentence(line: str) -> Iterator[Claim]:
    for found in BESIDE[0].finditer(line):
        yield found[1], found[2]
    for found in BESIDE[1].finditer(line):
        yield found["name"].strip("`"), found["value"]
    yield from SAID.findall(line)


def _in_a_row(headings: list[str], row: list[str]) -> Iterator[Claim]:
    """A cell of names, and one of as many values: that below "default", or the first
    that begins with a quantity."""
    named = [cell for cell in row if NAMES.match(cell)]
    if not named:
        for cell in row:
            yield from _in_a_sentence(cell)
        return
    found = NAMES.match(named[0])
    assert found
    names = re.findall(NAME, found[0])
    below = dict(zip(headings, row, strict=False)).get("default")
    if below is not None and (not below or below.startswith("`")):
        values = re.findall(r"`([^`]+)`", below)
        yield from zip_longest(names, values[: len(names)], fillvalue="")
        return
    for cell in row:
        if QUANTITY.match(cell):
            values = [each[0] for each in QUANTITY.finditer(cell)]
            yield from zip(names, values, strict=False)
            return


def amount(text: str) -> float | str:
    """A quantity in its smallest unit; other texts as they are."""
    found = QUANTITY.fullmatch(text)
    if not found:
        return text
    if found[1] == "an hour":
        return 3600.0
    return float(found[1].replace(",", "")) * UNITS[found[2] or ""]


def wrong(text: str, more: dict[str, set[str]]) -> list[str]:
    """The claims that do not hold. OpenTelemetry's variables have its own defaults."""
    found = []
    for name, value in claims(text):
        if name in DEFAULTS and not name.startswith("OTEL_"):
            right = {DEFAULTS[name], *more.get(name, ())}
            if name.endswith("_DAYS"):
                right |= {f"{each} days" for each in right}
            if amount(value) not in map(amount, right):
                found.append(f"{name} is {value or 'unset'}, not {right}")
    return found


def set_for(page: Path) -> dict[str, set[str]]:
    """The values that files of settings give, where the page may mean those."""
    found: dict[str, set[str]] = {}
    for file in SET if page == OF_KUBERNETES else page.parent.glob("*-config.env"):
        for name, value in re.findall(r"^(\w+)=(.*)$", file.read_text(), re.MULTILINE):
            found.setdefault(name, set()).add(value)
    return found


PAGES = [page for page in documents() if not page.name.startswith("CHANGELOG")]
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


@EACH
def test_defaults_are_those_of_the_settings(page: Path) -> None:
    assert wrong(prose(page), set_for(page)) == []


@EACH
def test_values_to_set_are_accepted(page: Path) -> None:
    """As in `LOG_FORMAT=text`."""
    for name, value in re.findall(
        r"\b([A-Z][A-Z0-9_]+)=([\w.-]+)(?=[`\s])", page.read_text()
    ):
        assert is_accepted(name, value), f"{name}={value}"


def is_accepted(name: str, value: str) -> bool:
    """Whether it is among the values that the list of settings gives."""
    listed = VALUES.get(name, "")
    if listed.startswith(("integer", "number")):
        return re.fullmatch(NUMBER, value) is not None
    chosen = re.findall("`([^`]+)`", listed)
    return not chosen or value in chosen


@EACH
def test_ports_are_those_of_the_containers(page: Path) -> None:
    for server, numbers in re.findall(
        rf"\b({'|'.join(SERVERS)})(?:<br>|,? (?:on |at )?(?:port )?)"
        r"(\d{4,5}(?:(?:, | and )\d{4,5})*)\b",
        page.read_text(),
    ):
        assert set(re.findall(r"\d+", numbers)) <= ports(COMPOSE[SERVERS[server]])


def ports(service: dict[str, Any]) -> set[str]:
    """The default ports at which a container answers, outside and inside."""
    published = " ".join(service.get("ports", []))
    return set(re.findall(r"(?<![\d.])\d{4,5}(?![\d.])", published))


def test_the_table_of_components_has_their_ports() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\|.*\| `([\w-]+)` \| `\S+` \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) > 8
    for name, told in rows:
        if "not published" not in told:
            numbers = set(re.findall(r"\d{4,5}", told))
            assert numbers == ports(CONTAINERS[plain(name)]), name


def test_the_table_of_containers_has_their_times_to_stop() -> None:
    text = (ROOT / "docs" / "CONTAINERS.md").read_text()
    rows = re.findall(
        r"^\| (`.+?) \| .+? \| ((?:\d+ s(?:, )?)+) \|$", text, re.MULTILINE
    )
    told = {
        name: time.replace(" ", "")
        for names, times in rows
        for name, time in zip(
            re.findall(r"`([\w-]+)`", names), times.split(", "), strict=True
        )
    }
    assert len(told) > 4
    for name, time in told.items():
        if plain(name) in CONTAINERS:  # others were taken out
            assert CONTAINERS[plain(name)]["stop_grace_period"] == time, name


@pytest.mark.parametrize(
    "text",
    [
        "a broker that is silent for `RABBITMQ_HEARTBEAT_SECONDS` (10 s)",
        "It is lost after 10 s (`RABBITMQ_HEARTBEAT_SECONDS`).",
        "`RPC_TIMEOUT_SECONDS` is 20",
        "`RPC_TIMEOUT_SECONDS`, 20 s, is the deadline",
        "`RABBITMQ_USER` is `app` unless you say otherwise",
        "| name | default |\n| --- | --- |\n| `RPC_TIMEOUT_SECONDS` | `20` |",
        "| name | default |\n| --- | --- |\n| `RABBITMQ_SSL_CA_FILE` | `ca.pem` |",
        "| name | default |\n| --- | --- |\n| `RPC_TIMEOUT_SECONDS` | |",
        "| bodies | 2 MiB | `MAX_BODY_BYTES` |",
        "| both | 500, 4,000/s | `NGINX_CONNECTIONS`, `NGINX_REQUESTS_PER_SECOND` |",
    ],
)
def test_a_wrong_value_is_found(text: str) -> None:
    assert len(wrong(text, {})) == 1


@pytest.mark.parametrize(
    "text",
    [
        "`MAX_BODY_BYTES` (1 MiB), `NGINX_MAX_BODY` (1 MiB), `RPC_MAX_IN_FLIGHT`: 500",
        "keys go after an hour (`IDEMPOTENCY_TTL_SECONDS`)",
        "| name | default |\n| - | - |\n| `RPC_MAX_IN_FLIGHT`, `LOG_FORMAT` | `500` |",
        "set `RPC_TIMEOUT_SECONDS=20`; below `MAX_BODY_BYTES`. 500 requests",
    ],
)
def test_a_right_value_is_left_alone(text: str) -> None:
    assert wrong(text, {}) == []


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("LOG_FORMAT", "text", True),
        ("LOG_FORMAT", "xml", False),
        ("RPC_TIMEOUT_SECONDS", "20", True),
        ("RPC_TIMEOUT_SECONDS", "20s", False),
        ("RABBITMQ_HOST", "localhost", True),
        ("NOT_OURS", "x", True),
    ],
)
def test_what_is_no_value_is_found(name: str, value: str, accepted: bool) -> None:
    assert is_accepted(name, value) is accepted


def test_values_are_found_at_all() -> None:
    """In tables and in sentences; the one of all settings has a test of its own."""
    found = [
        name
        for page in PAGES
        if page.name != "CONFIGURATION.md"
        for name, _ in claims(prose(page))
        if name in DEFAULTS
    ]
    assert len(found) > 30


def documented_metrics() -> set[str]:
    """The names of our own ones; `.other` replaces the last word of the one before."""
    page = (ROOT / "docs" / "OBSERVABILITY_PLAN.md").read_text()
    table = page.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    found: list[str] = []
    for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        for name in re.findall(r"`([\w.]+)`", cell):
            short = name.startswith(".")
            found.append(found[-1].rpartition(".")[0] + name if short else name)
    return {name for name in found if name.startswith(("app.", "rabbitmq."))}


def test_metrics_have_the_names_that_the_document_says() -> None:
    """Dashboards and alerts ask for them by name; a wrong one only shows nothing."""
    folders = ("backend/app", "packages/chassis/src")
    files = [file for each in folders for file in (ROOT / each).rglob("*.py")]
    code = "\n".join(file.read_text() for file in files)
    made = set(re.findall(r'\(\s*"(\w+(?:\.\w+)+)"', code))
    documented = documented_metrics()
    assert len(documented) > 10 and documented - made == set()
