"""Commands that a page shows, and their output: read, run, and written again."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from local.apps import ROOT

PAGES = [ROOT / "README.md", ROOT / "docs" / "TOUR.md"]
SHOWN_URL = "http://127.0.0.1:8081"

BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")

# Parts that differ between runs, and between projects with other services.
VARIABLE = re.compile(
    rf"{ID.pattern}|\b[0-9a-f]{{32}}\b"
    r"|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)|Date: [^\n]*|Content-Length: \d+"
    r'|(?:,"[\w-]+-service":\{[^}]*\})+'
    r'|"queues":(?:null|\{.*?\}\})|"instance":"[^"]*"'
    r'|"(?:id|count|avg|p50|p95|in_flight|timeouts_total|processing_time_ms)":[\d.e-]+'
)


class Step(NamedTuple):
    """A command, and its output."""

    command: str
    output: str


def steps(page: str) -> list[Step]:
    """All commands of a page, in order."""
    return [step for block in BLOCK.findall(page) for step in _split(block)]


def _split(block: str) -> list[Step]:
    parts = [part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.M)[1:]]
    return [Step(command, output.strip("\n")) for command, _, output in parts]


def run(page: str, url: str, names: Mapping[str, str]) -> Iterator[tuple[Step, Step]]:
    """Send the requests of a page to `url`. Yields each step as shown, and as it went.

    Later commands use the real id in place of an id that the page shows; `names` has
    further replacements.
    """
    replaced = {SHOWN_URL: url, **names}
    for shown in steps(page):
        command = _replace(shown.command, replaced)
        # A page shows only commands of this project.
        result = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
        output = (result.stdout + result.stderr).replace("\r", "").strip("\n")
        replaced |= zip(ID.findall(shown.output), ID.findall(output))
        expected = Step(command, _replace(shown.output, replaced))
        yield expected, Step(command, output)


def _replace(text: str, words: Mapping[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text


def mask(output: str) -> str:
    """The output without the parts that differ between runs."""
    return VARIABLE.sub("...", output)


def written(page: str, done: list[Step]) -> str:
    """The page with these steps instead of its own."""
    left = iter(done)

    def block(found: re.Match[str]) -> str:
        own = [next(left) for _ in _split(found[0])]
        return "\n\n".join(f"$ {each.command}\n{each.output}" for each in own) + "\n"

    return BLOCK.sub(block, page)
