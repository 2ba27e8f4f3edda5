"""Prints the rights of a Role that a user lacks: a line for each resource.

    python3 -m deploy.missing_rights ROLE.yaml [SKIPPED ...] <review

`review` is a SelfSubjectRulesReview with the cluster's answer. SKIPPED are API groups
and resources that are not needed this time.
"""

import json
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

# One rule of the Roles in deploy/rights/, which have one on a line, for this.
RULE = re.compile(
    r"^  - \{apiGroups: \[(.*)\], resources: \[(.*)\], verbs: \[(.*)\]\}$", re.MULTILINE
)

# API group, resource, verb.
Right = tuple[str, str, str]


def rights_of(role: str) -> list[Right]:
    """The rights that the text of a Role gives."""
    found = []
    for rule in RULE.findall(role):
        groups, resources, verbs = (
            [word.strip('" ') for word in words.split(",")] for words in rule
        )
        found += [(g, r, v) for g in groups for r in resources for v in verbs]
    return found


def is_allowed(right: Right, rules: list[dict[str, Any]]) -> bool:
    """Whether rules of a review have the right, for objects of any name."""
    wanted = dict(zip(("apiGroups", "resources", "verbs"), right))
    return any(
        all({"*", word} & set(rule.get(field, ())) for field, word in wanted.items())
        for rule in rules
        if not rule.get("resourceNames")
    )


def missing(role: str, review: dict[str, Any], skipped: Collection[str]) -> list[str]:
    """The lines to print."""
    lines: dict[str, list[str]] = {}
    for group, resource, verb in rights_of(role):
        if group in skipped or resource in skipped:
            continue
        if not is_allowed((group, resource, verb), review["status"]["resourceRules"]):
            name = f"{resource}.{group}" if group else resource
            lines.setdefault(name, []).append(verb)
    return [f"  {name}: {', '.join(verbs)}" for name, verbs in lines.items()]


def main(role: str, *skipped: str) -> None:
    """Prints them. A cluster that cannot list all rights proves nothing by silence."""
    review = json.load(sys.stdin)
    lines = missing(Path(role).read_text(), review, skipped)
    if lines and review["status"].get("incomplete"):
        print(
            "note: this cluster cannot list all your rights; these are not checked:",
            *lines,
            sep="\n",
            file=sys.stderr,
        )
    elif lines:
        print(*lines, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
