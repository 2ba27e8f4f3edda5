"""docs/TUTORIAL.md, parsed: what a reader writes, and what a reader runs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kit.commands import ROOT
from tests.tour.pages import mask

PAGE = ROOT / "docs" / "TUTORIAL.md"

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
FILE = re.compile(r"`([\w.-]+(?:/[\w.-]+)+)`")
PLACE = "@@\n"  # begins the next place in the same file
LEFT_OUT = "..."  # stands for missing lines of an output

# Parts that differ between traces, besides ids.
TIMES = re.compile(r"[·━]+ +[\d.]+ ms|  [\d.]+ ms$|queue_time=[\d.]+ms", re.MULTILINE)


class Code(NamedTuple):
    """A block that the sentence before it assigns to a file."""

    section: str
    sentence: str
    path: str
    language: str
    text: str

    def apply(self, project: Path) -> None:
        """Apply the sentence to the file. Tells whether the sentence names one."""
        file = project / self.path
        assert file.exists() is not self.sentence.startswith("Create"), self
        if self.language == "diff":
            file.write_text(self._changed(file.read_text()))
        elif "to the end of" in self.sentence:
            file.write_text(f"{file.read_text()}\n\n{self.text}")
        else:
            assert self.sentence.startswith(("Create", "Replace")), self
            file.write_text(self.text)

    def _changed(self, text: str) -> str:
        """Each place comes after the one before it. Lines without a sign do not
        change."""
        done = ""
        for place in self.text.split(PLACE):
            lines = [line if line.strip() else " \n" for line in place.splitlines(True)]
            old = "".join(line[1:] for line in lines if line[0] != "+")
            new = "".join(line[1:] for line in lines if line[0] != "-")
            before, found, text = text.partition(old)
            assert found and old != new, f"{self.path} has no\n{old}"
            done += before + new
        return done + text


class Command(NamedTuple):
    """A command that a reader types; `output` is None where the page shows none."""

    section: str
    line: str
    output: str | None

    def matches(self, output: str) -> bool:
        """Whether it printed what the page shows, except for parts that differ each
        time."""
        if self.output is None:
            return True
        parts = _mask(self.output).split(LEFT_OUT)
        pattern = ".*".join(re.escape(part.strip("\n")) for part in parts)
        return re.fullmatch(pattern, _mask(output).strip(), re.DOTALL) is not None


Step = Code | Command


def _mask(output: str) -> str:
    return TIMES.sub(LEFT_OUT, mask(output))


def steps(page: str) -> Iterator[Step]:
    """All steps of a reader, in order."""
    done = 0
    for block in FENCE.finditer(page):
        prose, done = page[done : block.start()], block.end()
        *_, section = ["", *HEADING.findall(page[: block.start()])]
        language, text = block.groups()
        if language == "console":
            yield from _commands(section, text)
        elif language == "bash":
            yield from (Command(section, line, None) for line in text.splitlines())
        else:
            yield _code(section, prose, language, text)


def _commands(section: str, text: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        yield Command(section, line, output.strip("\n") or None)


def _code(section: str, prose: str, language: str, text: str) -> Code:
    """The block's file is the last one that the paragraph before it names."""
    paragraph = prose.strip().rpartition("\n\n")[2]
    names = FILE.findall(paragraph)
    assert names and paragraph.endswith(":"), f"no file for\n{text}"
    sentence = re.split(r"(?<=[.!?]) ", paragraph)[-1]
    return Code(section, sentence, names[-1], language, text)


def minutes_to_read(page: str) -> float:
    """At 200 words per minute, code and outputs included."""
    return len(page.split()) / 200
