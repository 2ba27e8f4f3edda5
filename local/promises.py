"""Which tests guard which promises of the documents: writes `docs/PROMISES.md`.

The marker `promise` of a test names a document and a sentence of it. The tests are read
here, not run.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from local.removed import left_out

DOCUMENT = "docs/PROMISES.md"
PLACES: tuple[str, ...] = ("tests", "local/tests", "kit/tests", "backend/tests")
PLACES += ("packages/*/tests", "services/*/tests")
INTRODUCTION = """\
# Promises

Tests generate this page (`make docs`) from their markers:
`@pytest.mark.promise("docs/TASKS.md", "a sentence of that page")`. A test fails if the
sentence no longer stands there. A fault in what the sentence says turns the test red.

| promise | written in | test |
| --- | --- | --- |
"""


class Promise(NamedTuple):
    """A marker: where the sentence stands, and the test that guards it."""

    document: str  # from the root
    sentence: str
    file: str  # from the root
    test: str


def promises(root: Path) -> list[Promise]:
    """Those of all tests, in the order of the documents."""
    found = {p for file in _test_files(root) for p in _marked(root, file)}
    return sorted(found, key=lambda p: (p.document, _place(root, p), p.file, p.test))


def broken(root: Path) -> list[str]:
    """What is wrong with the markers, in sentences."""
    return [
        f"{p.file}: {p.test} names a sentence that {p.document} does not contain: "
        f"{p.sentence!r}. Correct the marker or the document"
        for p in promises(root)
        if _place(root, p) < 0
    ]


def page(root: Path) -> str:
    """The text of the document."""
    return INTRODUCTION + "".join(_row(each) for each in promises(root))


def _row(promise: Promise) -> str:
    # Its links lead on from its own page.
    sentence = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", promise.sentence)
    sentence = sentence.replace("|", "\\|")
    document = f"[{promise.document}]({_link(promise.document)})"
    test = f"[{promise.test}]({_link(promise.file)})"
    return f"| {sentence} | {document} | {test} |\n"


def _link(path: str) -> str:
    return path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}"


def _place(root: Path, promise: Promise) -> int:
    """Where the sentence stands in its document, line breaks aside; else -1."""
    file = root / promise.document
    text = " ".join(file.read_text().split()) if file.exists() else ""
    return text.find(promise.sentence)


def _test_files(root: Path) -> Iterator[Path]:
    gone = left_out(root)
    for place in PLACES:
        for file in root.glob(f"{place}/**/test_*.py"):
            if not gone & {file, *file.parents}:
                yield file


def _marked(root: Path, file: Path) -> Iterator[Promise]:
    text = file.read_text()
    if ".promise(" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if re.fullmatch(r"pytest\.mark\.promise\(.*\)", ast.unparse(decorator)):
                    assert isinstance(decorator, ast.Call)
                    document, sentence = map(ast.literal_eval, decorator.args)
                    name = str(file.relative_to(root))
                    yield Promise(document, sentence, name, node.name)
