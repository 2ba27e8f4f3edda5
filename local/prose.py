"""The English of the documents, a part of `make check`.

    python -m local.prose

Harper looks for faults of grammar. Few of its 900 rules suit technical pages; HARPER
names those that do. Lengths and words are looked for here: no package that works
offline lets a project set them.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kit.rename import project_files
from kit.tree import Tree
from local.apps import ROOT

HARPER = (
    *("AnA", "AnAnother", "AvoidAndAlso", "ComprisesOf", "DidPast", "DoubleModal"),
    *("InflectedVerbAfterTo", "InsteadOf", "ItsPossessive", "ModalBeAdjective"),
    *("MultipleSequentialPronouns", "NounVerbConfusion", "OneOfTheSingular"),
    *("PronounInflectionBe", "PronounVerbAgreement", "RedundantSuperlatives"),
    *("RedundantThat", "RepeatedWords", "SimplePastToPastParticiple", "SomeOfThe"),
    *("ThatWhich", "TheMy", "ThereIsAgreement", "ToTwoToo", "VeryLess"),
    *("WillNonLemma", "WorthToDo"),
)

# Words of a sentence: fewer on the pages that people read first.
MOST, MOST_AT_FIRST = 40, 30
READ_FIRST = [ROOT / name for name in ("README.md", "docs/TOUR.md", "docs/TUTORIAL.md")]

UNUSUAL = re.compile(
    r"\b(whoever|thereof|whereof|wherein|hereby|in order to"
    r"|obviously|needless to say|of course|basically|simply)\b",
    re.IGNORECASE,
)
# "Is it high, add one": a reader takes it for a question.
INVERTED = re.compile(
    r"(Is|Are|Was|Were|Does|Did|Has|Had|Should)\b[^,?]*,[^?]*$", re.IGNORECASE
)

NO_PROSE = re.compile(r"^ *```.*?^ *```$|<!--.*?-->", re.MULTILINE | re.DOTALL)
BEGINS_ANEW = re.compile(r"\s*([*-]|\d+\.|#+|>) +")
END_OF_SENTENCE = re.compile(r"(?<=[.!?])[)\"*]*\s+(?=[A-Z(\"*])")
WORD = re.compile(r"[\w'./-]*\w[\w'./-]*")


class Fault(NamedTuple):
    """What a reader stumbles over."""

    line: int
    message: str


def most(document: Path) -> int:
    """How many words a sentence may have."""
    return MOST_AT_FIRST if document in READ_FIRST else MOST


def faults(text: str, most: int) -> Iterator[Fault]:
    """Sentences that are too long or inverted, and unusual words."""
    for line, sentence in sentences(text):
        words = len(WORD.findall(sentence))
        if words > most:
            yield Fault(line, f"{words} words, at most {most}: {sentence[:60]}...")
        for clause in sentence.split("; "):
            if INVERTED.match(clause):
                yield Fault(line, f"say it with `if`: {clause}")
        for word in UNUSUAL.findall(sentence):
            yield Fault(line, f"use another word, or none: {word}")


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Each sentence of Markdown with the line where its paragraph begins. What stands
    in backticks counts as one word, a link as the words that are shown."""
    text = NO_PROSE.sub(lambda found: "\n" * found[0].count("\n"), text)
    for line, paragraph in _paragraphs(text):
        paragraph = re.sub(r"`[^`]+`", "X", paragraph)
        paragraph = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", paragraph)
        for sentence in END_OF_SENTENCE.split(paragraph):
            yield line, sentence


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Also each item of a list, and each cell of a table."""
    began, gathered = 0, ""
    for number, line in enumerate([*text.splitlines(), ""], 1):
        in_table = line.lstrip().startswith("|")
        marker = BEGINS_ANEW.match(line)
        if gathered and (marker or in_table or not line.strip()):
            yield began, gathered
            gathered = ""
        if in_table:
            for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")):
                yield number, cell.strip()
            continue
        began = began if gathered else number
        gathered = f"{gathered} {line[marker.end() if marker else 0:].strip()}".strip()


def grammar(documents: list[Path]) -> Iterator[tuple[Path, Fault]]:
    """What Harper finds."""
    command = [sys.executable, "-m", "harper", "lint", "--quiet", "--format", "json"]
    command += ["--only", ",".join(HARPER), *map(str, documents)]
    result = subprocess.run(command, capture_output=True, text=True)
    if "unknown rule" in result.stderr or not result.stdout:
        raise RuntimeError(result.stderr)
    # It gives files without their folders, in the order that they came in.
    for document, found in zip(documents, json.loads(result.stdout), strict=True):
        for lint in found["lints"]:
            message = f"{lint['rule']}: {lint['matched_text']} - {lint['message']}"
            yield document, Fault(lint["line"], message)


def documents() -> list[Path]:
    """Every Markdown file, but no templates of one."""
    names = [name for name in project_files(Tree(ROOT)) if name.endswith(".md")]
    return [ROOT / name for name in sorted(names) if "template" not in name]


def main() -> int:
    """Print what is found, as flake8 does."""
    found = list(grammar(documents()))
    for each in documents():
        text = each.read_text()
        found += [(each, fault) for fault in faults(text, most(each))]
    for document, fault in sorted(found):
        print(f"{document.relative_to(ROOT)}:{fault.line}: {fault.message}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
