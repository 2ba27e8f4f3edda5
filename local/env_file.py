"""What `.env` holds: variables that nothing reads are told."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from io import StringIO

from dotenv import dotenv_values

from local.apps import ROOT

# A variable may be another program's. One as near as this is a slip of the pen.
NEAR = 0.9

# So many settings that begin with one word make that word ours. A rarer one, such as
# API, may begin another program's; OpenTelemetry's SDK reads more than we list.
MANY, NOT_OURS = 4, {"OTEL"}


def values(text: str) -> dict[str, str]:
    """What a file with this text sets."""
    found = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value or "" for name, value in found.items()}


def misspelled(names: Iterable[str]) -> Iterator[str]:
    """A sentence for each name that is almost that of a setting, or that begins as
    settings do: it may have been one."""
    example = (ROOT / ".env.example").read_text()
    known = re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", example, re.MULTILINE)
    words = Counter(_first_word(name) for name in known)
    for name in names:
        if name.upper() in known or name.upper().removesuffix("_FILE") in known:
            continue
        near = get_close_matches(name.upper(), known, n=1, cutoff=NEAR)
        if near:
            yield f"nothing reads {name}: did you mean {near[0]}?"
        elif (
            words[first := _first_word(name.upper())] >= MANY and first not in NOT_OURS
        ):
            yield (
                f"nothing reads {name}: it may be of another version; .env.example "
                "lists all"
            )


def _first_word(name: str) -> str:
    return name.partition("_")[0]
