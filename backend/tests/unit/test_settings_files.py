"""A setting is declared once, in its class. `make docs` updates the other places where
it can; elsewhere a test says what to do."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.unit.declared import (
    ROOT,
    Section,
    backend_sections,
    names,
    own_sections,
    service_section,
)
from tests.unit.settings_texts import (
    COMPOSE,
    EXAMPLE,
    NOT_PASSED_ON,
    WRITTEN,
    generated_example,
    passed_on,
    read,
)

MAKE = "run `make docs`"
# Read by probes, not by a process; the API reads the services' queues.
OTHERS = r"OTEL_\w+|NO_PROXY|no_proxy|REDIS_PORT|\w+_QUEUE_NAME"


@pytest.mark.parametrize("file", WRITTEN)
def test_the_document_is_up_to_date(file: str) -> None:
    """`make docs` runs this test to write the file."""
    text = WRITTEN[file]()
    if os.environ.get("UPDATE_DOCS"):
        (ROOT / file).write_text(text)
    if read(file) != text:
        say([*differences(file), f"{file} is out of date: {MAKE}."])


def test_every_place_knows_every_setting() -> None:
    say([*undescribed(), *undeclared(), *not_passed_to_services()])


def say(sentences: list[str]) -> None:
    """Fail with these sentences, if there are any."""
    if sentences:
        pytest.fail("\n".join(dict.fromkeys(sentences)), pytrace=False)


def sections() -> list[Section]:
    return [*backend_sections(), service_section(), *own_sections()]


def known() -> set[str]:
    secrets = {
        f"{each.name}_FILE"
        for s in sections()
        for each in s.variables
        if each.is_secret
    }
    return names(sections()) | secrets


def differences(file: str) -> Iterator[str]:
    """The lines that the file lacks, and those that it has too many."""
    parts = {EXAMPLE: generated_example, COMPOSE: passed_on}
    text = parts[file]() if file in parts else read(file)
    there = set(re.findall(r"\b[A-Z][A-Z0-9]*_?[A-Z0-9_]+\b", text))
    wanted = sections() if file != COMPOSE else backend_sections()
    for section in wanted:
        for each in section.variables:
            passed = file != COMPOSE or each.name not in NOT_PASSED_ON
            if passed and each.name not in there:
                yield (
                    f"{each.name} is declared in {each.place}, but {file} lacks it: "
                    f"{MAKE}."
                )
    line = r"^(?:# )?([A-Z][A-Z0-9_]+)=" if file == EXAMPLE else r"^  ([A-Z_0-9]+):$"
    for name in re.findall(line, text, re.MULTILINE):
        if name not in known() and not re.fullmatch(OTHERS, name):
            yield f"{file} has {name}, which no class of settings declares: {MAKE}."


def undescribed() -> Iterator[str]:
    for section in sections():
        for each in section.variables:
            if not each.meaning:
                yield (
                    f"{each.name}, declared in {each.place}, has no description: write "
                    'Field(..., description="...").'
                )


def undeclared() -> Iterator[str]:
    """Variables that a file sets and no process reads: the setting was removed or
    renamed."""
    everywhere = known()
    files = [*ROOT.glob("backend/*.env"), *ROOT.glob("services/**/*.env")]
    line = re.compile(r"^([A-Z][A-Z0-9_]+)=", re.MULTILINE)
    found = {f.relative_to(ROOT): line.findall(f.read_text()) for f in files}
    blocks = yaml.safe_load(read(COMPOSE))
    for block in ("x-backend-environment", "x-service-environment"):
        given = [name for name, value in blocks[block].items() if value]
        found[Path(COMPOSE)] = [*found.get(Path(COMPOSE), []), *given]
    for file, set_there in found.items():
        for name in set_there:
            if name not in everywhere and not re.fullmatch(OTHERS, name):
                yield (
                    f"{file} sets {name}, which no class of settings declares: remove "
                    "it there, or give it its new name."
                )


def not_passed_to_services() -> Iterator[str]:
    """A sentence for each variable of a single service that its own files do not pass
    on. Shared places do not contain such variables."""
    composed = yaml.safe_load(read(COMPOSE))["services"]
    for section in own_sections():
        assert section.service
        folder = section.service.relative_to(ROOT)
        (name,) = (
            name
            for name, service in composed.items()
            if f"{folder}/Dockerfile" == service.get("build", {}).get("dockerfile")
        )
        (config,) = section.service.glob("*-config.env")
        for each in section.variables:
            if each.name not in composed[name]["environment"]:
                yield (
                    f"{each.name} is declared in {each.place}, but {COMPOSE} does not "
                    f"pass it on: write `{each.name}:` into `environment` of {name}."
                )
            if each.is_required and not re.search(
                rf"^{each.name}(_FILE)?=", config.read_text(), re.MULTILINE
            ):
                yield (
                    f"{each.name} is declared in {each.place} without a default, but "
                    f"{config.relative_to(ROOT)} does not set it: write a line there."
                )
