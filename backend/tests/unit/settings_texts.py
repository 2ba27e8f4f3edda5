"""The files that `make docs` writes from the settings: `.env.example`,
`docs/CONFIGURATION.md`, and the variables that `docker-compose.yml` passes on."""

import re
from collections.abc import Callable, Iterator
from textwrap import wrap

from tests.unit.declared import (
    ROOT,
    Section,
    Variable,
    backend_sections,
    names,
    own_sections,
    service_section,
)

EXAMPLE, COMPOSE = ".env.example", "docker-compose.yml"
DOCUMENT = "docs/CONFIGURATION.md"
WIDTH = 88

HEAD = """\
# Every variable that a process reads, with its default. Copy this file to .env and
# change what you need. `make run` always uses the addresses of its own servers.
"""
BY_HAND = """\
# `make docs` generates the part above from the settings. The part below is written by
# hand; other programs read it.
"""
SECRETS = "Secrets from files, as Docker and Kubernetes give them"
SECRET = "To read a secret from a file, set its _FILE variable to the path instead"

PASSED_ON = "  # Passed on if set; `make docs` writes these lines.\n"
# Set by the compose file, or separately for each of its services.
NOT_PASSED_ON = {"API_HOST", "API_PORT", "CELERY_HEARTBEAT_FILE", "HEARTBEAT_FILE"}
NOT_PASSED_ON |= {"EVENTS_RELAY_HEARTBEAT_FILE"}
NOT_PASSED_ON |= {"QUEUE_NAME", "SERVICE_NAME"}
# The tables' owner is for migrations alone.
NOT_PASSED_ON |= {"MIGRATIONS_DATABASE_URL", "SERVICE_DATABASES_FOLDER"}
# Each service has users of its own, and none is for monitoring.
NOT_PASSED_ON |= {"RABBITMQ_USER", "RABBITMQ_PASSWORD"}
NOT_PASSED_ON |= {"EVENTS_DATABASE_URL"}
NOT_PASSED_ON |= {"RABBITMQ_MONITORING_USER", "RABBITMQ_MONITORING_PASSWORD"}

INTRODUCTION = """\
# Configuration

`make docs` generates this page from the settings classes, in `backend/app/core/`,
`packages/chassis/src/chassis/settings.py` and the services; a test fails when it is
out of date. To add a setting, see
[WHERE.md](WHERE.md#a-setting-of-your-own).

A process reads its environment first, then the files that `..._FILE` variables name,
then `.env`. If values are invalid, the API, the worker and the migrations list them all
and refuse to start. `make run` also reads `.env`, but uses the addresses of its own
servers. An empty default means that the variable is unset."""


def read(file: str) -> str:
    return (ROOT / file).read_text()


def example() -> str:
    """The text of `.env.example`."""
    common, own = service_section(), own_sections()
    secrets = [
        each._replace(name=f"{each.name}_FILE", default=None, meaning="")
        for section in [*backend_sections(), common, *own]
        for each in section.variables
        if each.is_secret
    ]
    secrets[0] = secrets[0]._replace(meaning=SECRET)
    parts = [HEAD]
    for title, variables, _ in [*backend_sections(), Section(SECRETS, secrets)]:
        parts.append(_heading(title) + "".join(map(_entry, variables)))
    for title, variables, _ in [common, *own]:
        lines = [_entry(each, is_off=True) for each in variables]
        parts.append(_heading(title) + "".join(lines))
    by_hand = read(EXAMPLE).partition(BY_HAND)[2]
    return "\n".join([*parts, BY_HAND + by_hand])


def generated_example() -> str:
    """The generated part of the file."""
    return read(EXAMPLE).partition(BY_HAND)[0]


def _heading(title: str) -> str:
    return f"# --- {title} ".ljust(WIDTH, "-") + "\n"


def _entry(variable: Variable, *, is_off: bool = False) -> str:
    comment = [f"# {line}" for line in wrap(variable.meaning, WIDTH - 2)]
    mark = "# " if is_off or variable.default is None else ""
    return "\n".join([*comment, f"{mark}{variable.name}={variable.default or ''}\n"])


def compose() -> str:
    """The text of `docker-compose.yml`."""
    text = read(COMPOSE)
    text = _passed_on(text, "x-backend-environment", names(backend_sections()))
    shared = {
        each
        for each in names(backend_sections())
        if each.startswith(("RABBITMQ_", "RPC_", "EVENTS_EXCHANGE"))
    }
    shared |= names([service_section()])
    return _passed_on(text, "x-service-environment", shared)


def passed_on() -> str:
    """The blocks of the compose file that list the passed-on variables."""
    _, *blocks = re.split(r"^x-\w+-environment:", read(COMPOSE), flags=re.MULTILINE)
    return "\n".join(block.partition("\n\n")[0] for block in blocks)


def _passed_on(text: str, block: str, variables: set[str]) -> str:
    """``text`` with the missing ``variables`` added to ``block`` below its comment."""

    def write(found: re.Match[str]) -> str:
        given, below = found[1], found[2].splitlines(keepends=True)
        kept = "".join(line for line in below if not line.endswith(":\n"))
        set_here = set(re.findall(r"^  (\w+):", given + kept, re.MULTILINE))
        wanted = sorted(variables - set_here - NOT_PASSED_ON)
        return given + PASSED_ON + "".join(f"  {name}:\n" for name in wanted) + kept

    pattern = rf"(^{block}:.*?\n){re.escape(PASSED_ON)}((?:  [^\n]*\n)*)"
    return re.sub(pattern, write, text, count=1, flags=re.DOTALL | re.MULTILINE)


def document() -> str:
    """The text of `docs/CONFIGURATION.md`."""
    sections = [*backend_sections(), service_section(), *own_sections()]
    known = {each.name: each.values for s in sections for each in s.variables}
    parts = [INTRODUCTION]
    _, *found = re.split(r"^# --- (.+?) -+$", example(), flags=re.MULTILINE)
    for title, text in zip(found[::2], found[1::2], strict=True):
        lines = ["| variable | default | values | meaning |", "| --- " * 4 + "|"]
        for name, value, meaning in _rows(text):
            default = f"`{value}`" if value else ""
            cells = [f"`{name}`", default, known.get(name, ""), meaning]
            lines.append(f"| {' | '.join(cells)} |")
        parts += [f"## {title}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _rows(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning; the meaning may come from the row before."""
    comment: list[str] = []
    for line in text.partition(BY_HAND)[0].splitlines():
        found = re.fullmatch(r"(?:# )?([A-Z][A-Z0-9_]+)=(.*)", line)
        if found:
            name, value, meaning = found[1], found[2], " ".join(comment)
            if name.startswith("OTEL_") and value:  # an example, not a default
                value, meaning = "", f"{meaning}; such as `{value}`"
            yield name, value, meaning.replace("*", r"\*")
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])


#: The expected text of each file.
WRITTEN: dict[str, Callable[[], str]] = {
    EXAMPLE: example,
    DOCUMENT: document,
    COMPOSE: compose,
}
