"""The settings for editors in docs/DEBUGGING.md, and a second system of containers."""

import json
import re

from local.apps import ROOT
from local.debugging import FIRST_PORT

DOCUMENT = (ROOT / "docs" / "DEBUGGING.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = dict(FENCE.findall(DOCUMENT))


def test_editors_attach_to_the_ports_that_processes_have() -> None:
    configurations = json.loads(BLOCKS["json"])["configurations"]
    ports = [each["connect"]["port"] for each in configurations]
    assert ports == list(range(FIRST_PORT, FIRST_PORT + len(ports)))
    rows = re.findall(r"^\| .+ \| (\d{4})", DOCUMENT, re.MULTILINE)
    assert [int(port) for port in rows][: len(ports)] == ports


def test_a_second_system_of_containers_has_ports_of_its_own() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    published = dict(re.findall(r'- ".*\$\{(\w+):?-(\d+)\}:\d+"', compose))
    chosen = dict(re.findall(r"^(\w+)=(\d+)$", BLOCKS["ini"], re.MULTILINE))
    assert published and set(published) == set(chosen)
    # Nor those that the first has.
    assert not set(chosen.values()) & set(published.values())
    assert len(set(chosen.values())) == len(chosen)
