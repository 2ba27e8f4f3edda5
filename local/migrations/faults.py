"""What a migration must not do while the old release runs, and what to do instead."""

from dataclasses import dataclass

DROPPED, REQUIRED, NARROWED, LOCKED, INCOMPLETE = (
    *("dropped", "required", "narrowed"),
    *("locked", "incomplete"),
)

#: For each kind, what to do. The first three are steps of *contract*.
RECIPES = {
    DROPPED: """\
Expand first: add what replaces it, let the code use that, release this. One release
later, drop the old one, and declare here which release first did without:
  ready_since = {{"{name}": "X.Y.Z"}}""",
    REQUIRED: """\
Expand first: write a value with every row, fill the rows that have none in batches,
release this. One release later, forbid NULL, and declare here which release first wrote
the value:
  ready_since = {{"{name}": "X.Y.Z"}}""",
    NARROWED: """\
Expand first: let the code keep the new rule, correct the stored rows, and release this.
One release later, add the rule, and declare here which release first kept it:
  ready_since = {{"{name}": "X.Y.Z"}}
A new type needs a new column: add it, copy in batches, drop the old one.""",
    LOCKED: """\
Instead: {instead}""",
    INCOMPLETE: """\
The old release inserts rows without a value for it. Give it a server default that
stays, or allow NULL.""",
}


@dataclass(frozen=True)
class Fault:
    """Something that the running release may not survive. ``name`` is the object;
    ``ready_since`` may name it, except for locks."""

    kind: str
    name: str
    what: str
    instead: str = ""

    @property
    def may_be_declared(self) -> bool:
        """Whether an earlier release can make it harmless."""
        return self.kind in (DROPPED, REQUIRED, NARROWED)

    @property
    def text(self) -> str:
        """What is wrong, and what to do."""
        recipe = RECIPES[self.kind].format(name=self.name, instead=self.instead)
        return f"{self.what}.\n{recipe}"
