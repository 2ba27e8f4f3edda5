"""What `.env` holds: variables that were meant to be others are told."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from local.apps import ROOT

# A variable may be another program's. One as near as this is a slip of the pen.
NEAR = 0.9


def misspelled(names: Iterable[str]) -> Iterator[str]:
    """A sentence for each name that is almost, but not quite, that of a setting."""
    example = (ROOT / ".env.example").read_text()
    known = re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", example, re.MULTILINE)
    for name in names:
        near = get_close_matches(name.upper(), known, n=1, cutoff=NEAR)
        if near and name.upper() not in known:
            yield f"nothing reads {name}: did you mean {near[0]}?"
