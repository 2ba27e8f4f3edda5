"""`docs/CONFIGURATION.md` is written from `.env.example` and the settings' own types.

`make docs` writes it.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from app.core.config import Settings
from chassis.environment import Group
from chassis.settings import ServiceSettings

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "CONFIGURATION.md"
EXAMPLE = ROOT / ".env.example"

INTRODUCTION = """\
# Configuration

Written by `make docs` from [.env.example](../.env.example) and from the types in
`backend/app/core/config.py` and `packages/chassis/src/chassis/settings.py`; a test
fails when it is out of date.

A process reads its environment first, then files that `..._FILE` variables name, then
`.env`, or the file that `ENV_FILE` names instead. The API, the worker and the
migrations refuse to start with a wrong value and name every one that is wrong.
`make run` reads `.env` too, but the addresses of its own servers win. An empty default
means that the variable is unset."""

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}


class Variable(NamedTuple):
    """One row; the meaning may stand in the row before, for both."""

    name: str
    default: str
    meaning: str


def test_the_document_is_up_to_date() -> None:
    text = document()
    if os.environ.get("UPDATE_DOCS"):
        DOCUMENT.write_text(text)
    assert DOCUMENT.read_text() == text, "write it with: make docs"


def test_the_example_names_what_services_read() -> None:
    read = set(types(ServiceSettings))
    assert read <= {row.name for _, rows in sections() for row in rows}


def document() -> str:
    known = types(Settings) | types(ServiceSettings)
    parts = [INTRODUCTION]
    for title, rows in sections():
        lines = ["| variable | default | values | meaning |", "| --- " * 4 + "|"]
        for row in rows:
            default = f"`{row.default}`" if row.default else ""
            cells = [f"`{row.name}`", default, known.get(row.name, ""), row.meaning]
            lines.append(f"| {' | '.join(cells)} |")
        parts += [f"## {title}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def sections() -> Iterator[tuple[str, list[Variable]]]:
    """The headings of the example file, and what stands below each."""
    _, *parts = re.split(r"^# --- (.+?) -+$", EXAMPLE.read_text(), flags=re.MULTILINE)
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        yield title, list(variables(text))


def variables(text: str) -> Iterator[Variable]:
    comment: list[str] = []
    for line in text.splitlines():
        found = re.fullmatch(r"(?:# )?([A-Z][A-Z0-9_]+)=(.*)", line)
        if found:
            name, value, meaning = found[1], found[2], " ".join(comment)
            if name.startswith("OTEL_") and value:  # an example of theirs, no default
                value, meaning = "", f"{meaning}; such as `{value}`"
            yield Variable(name, value, meaning.replace("*", r"\*"))
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])


def types(group: type[Group]) -> dict[str, str]:
    """What each variable may be, by the settings."""
    fields = group.model_json_schema()["properties"]
    nested = set(group.groups())
    found = {
        group.variable(name): kind(fields[name])
        for name, field in group.model_fields.items()
        if field.annotation not in nested
    }
    for other in nested:
        found |= types(other)
    return found


def kind(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        field = field["anyOf"][0]
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("writeOnly"):
        return "text, secret"
    names = {"string": "text", "array": "JSON list", "boolean": "`true`, `false`"}
    bounds = [f"{s} {json.dumps(field[b])}" for b, s in BOUNDS.items() if b in field]
    return " ".join(
        [names.get(field["type"], field["type"]), ", ".join(bounds)]
    ).strip()
