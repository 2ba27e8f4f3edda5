"""`logs-of`: what every process of the local stack logged about one request."""

import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from local.state import LOCAL

# As text lines begin, in local time, or as JSON lines have it, with their zone.
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]\d{3}(?:Z|[+-]\d\d:\d\d)?")


def show(arguments: list[str], path: Path = LOCAL / "run") -> int:
    """Print the lines with that id, oldest first; returns 1 if there are none."""
    if len(arguments) != 1 or not arguments[0]:
        print("Name the request: make logs-of REQUEST_ID=...", file=sys.stderr)
        return 1
    entries = sorted(
        (moment, file.stem, text)
        for file in sorted((path / "logs").glob("*.log"))
        for moment, text in _entries(file.read_text(errors="replace"))
        if arguments[0] in text
    )
    for _, name, text in entries:
        print(f"{name}: {text}")
    if not entries:
        print(f"No line in {path / 'logs'} contains {arguments[0]}.", file=sys.stderr)
    return 0 if entries else 1


def _entries(text: str) -> Iterator[tuple[float, str]]:
    """Moment and text of each; lines without a moment, as of tracebacks, belong to the
    one before."""
    moment, lines = 0.0, list[str]()
    for line in text.splitlines():
        found = MOMENT.search(line)
        if found:
            if lines:
                yield moment, "\n".join(lines)
            moment, lines = datetime.fromisoformat(found[0]).timestamp(), []
        lines.append(line)
    if lines:
        yield moment, "\n".join(lines)
