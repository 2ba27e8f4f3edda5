"""The rules: a statement against what the running release may have."""

import re
from dataclasses import dataclass, field

from local.migrations.faults import (
    DROPPED,
    INCOMPLETE,
    LOCKED,
    NARROWED,
    REQUIRED,
    Fault,
)
from local.migrations.sql import (
    inside_parentheses,
    match,
    plain,
    split_at_commas,
    words,
)

# A default that calls another function may differ from row to row, so PostgreSQL
# rewrites the table.
STEADY = {"now", "timezone", "transaction_timestamp"}
CONSTRAINT = r"(?:CONSTRAINT (@) )?(UNIQUE|PRIMARY KEY|CHECK|FOREIGN KEY|EXCLUDE)\b"
WHOLE_TABLE = r"(REINDEX|CLUSTER|VACUUM FULL|LOCK TABLE)\b"
KINDS = (
    r"(?:OR REPLACE )?(MATERIALIZED VIEW|VIEW|SEQUENCE|TYPE|DOMAIN|FUNCTION|PROCEDURE"
    r"|TRIGGER|SCHEMA|EXTENSION|RULE|POLICY|AGGREGATE|STATISTICS)"
)
REWRITE = (
    "add the column as nullable without a default, set the default, fill in batches"
)
CONCURRENTLY = (
    "create it CONCURRENTLY, in op.get_context().autocommit_block(), as migration 0004"
    " does"
)
NOT_VALID = (
    "add it NOT VALID; run VALIDATE CONSTRAINT in a migration of its own, which lets"
    " writes continue"
)


@dataclass
class Column:
    """What is known of a column."""

    type: str
    needs_value: bool
    has_default: bool


@dataclass
class Schema:
    """What migrations have made so far: tables with their columns, and the tables of
    indexes."""

    tables: dict[str, dict[str, Column]] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)


class Migration:
    """Takes the statements of one migration, in order; `faults` are its faults.

    What the migration itself creates is `new`: no release uses it yet.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._new: set[str] = set()
        self._made: set[str] = set()  # functions, triggers and the like
        self._found: list[Fault] = []

    @property
    def faults(self) -> list[Fault]:
        """Without those of what the migration replaces."""
        return [
            each
            for each in self._found
            if each.kind != DROPPED or each.name not in self._made
        ]

    def take(self, statement: str) -> None:
        """Judge a statement, and remember what it makes."""
        if found := match(r"CREATE (?:\w+ )*?TABLE (?:IF NOT EXISTS )?(@)", statement):
            self._create_table(plain(found[1]), statement)
        elif found := match(
            r"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(@) (.*)", statement
        ):
            for action in split_at_commas(found[2]):
                self._alter(plain(found[1]), action)
        elif found := match(r"CREATE (UNIQUE )?INDEX (.*)", statement):
            self._create_index(bool(found[1]), found[2])
        elif found := match(
            r"DROP INDEX (CONCURRENTLY )?(?:IF EXISTS )?(.*)", statement
        ):
            for name in _names(found[2]):
                self._drop_index(name, bool(found[1]))
        elif found := match(r"DROP TABLE (?:IF EXISTS )?(.*)", statement):
            for name in _names(found[1]):
                self._drop(name, f"drops the table {name}")
        elif found := match(rf"DROP {KINDS} (?:IF EXISTS )?(@)", statement):
            name = plain(found[2])
            self._drop(name, f"drops the {found[1].lower()} {name}")
        elif found := match(rf"ALTER {KINDS} (@) .*\bRENAME\b", statement):
            name = plain(found[2])
            self._drop(name, f"renames something of the {found[1].lower()} {name}")
        elif found := match(
            rf"CREATE (?:\w+ )*?{KINDS} (?:IF NOT EXISTS )?(@)", statement
        ):
            self._made.add(plain(found[2]))
        elif found := match(WHOLE_TABLE, statement):
            if "concurrently" not in words(statement):
                self._lock("", f"{found[1].upper()} locks a table", "do it by hand")

    def _create_table(self, table: str, statement: str) -> None:
        self._new.add(table)
        columns = self._schema.tables.setdefault(table, {})
        for each in split_at_commas(inside_parentheses(statement)):
            if each and not match(CONSTRAINT, each):
                name, _, rest = each.partition(" ")
                columns[plain(name)] = _column(rest)

    def _alter(self, table: str, action: str) -> None:
        if match(rf"ADD {CONSTRAINT}", action):
            self._add_constraint(table, action)
        elif found := match(r"ADD (?:COLUMN )?(?:IF NOT EXISTS )?(@) (.*)", action):
            self._add_column(table, plain(found[1]), found[2])
        elif found := match(r"DROP CONSTRAINT (?:IF EXISTS )?(@)", action):
            name = f"{table}.{plain(found[1])}"
            self._drop(name, f"drops the constraint {name}", table)
        elif found := match(r"DROP (?:COLUMN )?(?:IF EXISTS )?(@)", action):
            name = f"{table}.{plain(found[1])}"
            self._drop(name, f"drops the column {name}", table)
        elif match(r"RENAME TO |SET SCHEMA ", action):
            self._drop(table, f"renames the table {table}")
        elif found := match(r"RENAME (?:COLUMN |CONSTRAINT )?(@) TO ", action):
            name = f"{table}.{plain(found[1])}"
            self._drop(name, f"renames {name}", table)
        elif found := match(r"ALTER (?:COLUMN )?(@) (.*)", action):
            self._alter_column(table, plain(found[1]), found[2])

    def _alter_column(self, table: str, column: str, action: str) -> None:
        if table in self._new:
            return
        name, known = f"{table}.{column}", self._schema.tables.get(table, {}).get(
            column
        )
        is_new = name in self._new
        if match(r"SET DEFAULT", action) and known is not None:
            known.has_default = True
        elif match(r"SET NOT NULL", action):
            if known is not None:
                known.needs_value = True
                if is_new and known.has_default:
                    return
            self._found.append(Fault(REQUIRED, name, f"sets NOT NULL on {name}"))
        elif match(r"DROP DEFAULT", action) and (known is None or known.needs_value):
            what = f"drops the default of {name}"
            self._found.append(Fault(REQUIRED, name, what))
        elif found := match(r"(?:SET DATA )?TYPE (.*)", action):
            if known is None or not is_wider(known.type, found[1]):
                what = f"changes the type of {name} to {found[1].strip()}"
                self._found.append(Fault(NARROWED, name, what))
            if known is not None:
                known.type = found[1]

    def _add_column(self, table: str, column: str, rest: str) -> None:
        name = f"{table}.{column}"
        self._schema.tables.setdefault(table, {})[column] = new = _column(rest)
        if table in self._new:
            return
        self._new.add(name)
        if new.needs_value and not new.has_default:
            what = f"adds the column {name} as NOT NULL without a default"
            self._found.append(Fault(INCOMPLETE, name, what))
        if _is_rewritten(rest):
            self._lock(name, f"adds {name} with a value for each row", REWRITE)
        if re.search(r"\b(UNIQUE|PRIMARY KEY)\b", rest, re.IGNORECASE):
            self._lock(name, f"builds the index of {name} under a lock", CONCURRENTLY)

    def _add_constraint(self, table: str, action: str) -> None:
        found = match(rf"ADD {CONSTRAINT}(.*)", action)
        if table in self._new or found is None:
            return
        kind = " ".join(found[2].upper().split())
        name = f"{table}.{plain(found[1])}" if found[1] else table
        uses_index = match(r".*\bUSING INDEX\b", found[3])
        inside = words(inside_parentheses(found[3]))
        used = inside & self._schema.tables.get(table, {}).keys()
        is_new = used and all(f"{table}.{column}" in self._new for column in used)
        if not is_new:
            what = f"adds the constraint {name} ({kind})"
            self._found.append(Fault(NARROWED, name, what))
        if kind in ("CHECK", "FOREIGN KEY"):
            if not is_new and not match(r".*\bNOT VALID\b", found[3]):
                self._lock(name, f"checks all rows for {name} under a lock", NOT_VALID)
        elif not uses_index:
            instead = f"{CONCURRENTLY}; then ADD CONSTRAINT ... USING INDEX"
            self._lock(name, f"builds the index of {name} under a lock", instead)

    def _create_index(self, is_unique: bool, rest: str) -> None:
        found = match(
            r"(CONCURRENTLY )?(?:IF NOT EXISTS )?(@) ON (?:ONLY )?(@)(.*)", rest
        )
        if found is None:  # without a name
            found = match(r"(CONCURRENTLY )?(ON) (?:ONLY )?(@)(.*)", rest)
        if found is None:
            return
        index, table = plain(found[2]), plain(found[3])
        index = f"on {table}" if index == "on" else index
        self._schema.indexes[index] = table
        self._new.add(index)
        if table in self._new:
            return
        if not found[1]:
            self._lock(index, f"builds the index {index} under a lock", CONCURRENTLY)
        used = words(found[4]) & self._schema.tables.get(table, {}).keys()
        is_new = used and all(f"{table}.{column}" in self._new for column in used)
        if is_unique and not is_new:
            name = f"{table}.{index}"
            self._found.append(Fault(NARROWED, name, f"forbids duplicates by {name}"))

    def _drop_index(self, index: str, concurrently: bool) -> None:
        is_new = index in self._new or self._schema.indexes.get(index) in self._new
        if not concurrently and not is_new:
            instead = "drop it CONCURRENTLY, in op.get_context().autocommit_block()"
            self._lock(index, f"drops the index {index} under a lock", instead)

    def _drop(self, name: str, what: str, table: str = "") -> None:
        if name not in self._new and table not in self._new:
            self._found.append(Fault(DROPPED, name, what))

    def _lock(self, name: str, what: str, instead: str) -> None:
        self._found.append(Fault(LOCKED, name, what, instead))


def is_wider(old: str, new: str) -> bool:
    """Whether a type takes all values of the other, and PostgreSQL rewrites nothing."""
    old_name, old_size = _type(old)
    new_name, new_size = _type(new)
    if old_name in ("varchar", "text") and new_name in ("varchar", "text"):
        return not new_size or bool(old_size) and new_size[0] >= old_size[0]
    if old_name == new_name == "numeric":
        same_scale = old_size[1:] == new_size[1:]
        return not new_size or bool(old_size) and same_scale and old_size <= new_size
    return (old_name, old_size) == (new_name, new_size)


def _type(text: str) -> tuple[str, list[int]]:
    text = re.split(r"\b(?:USING|COLLATE|NOT|NULL|DEFAULT)\b", text, flags=re.I)[0]
    name = re.sub(r"\(.*", "", text).strip().lower()
    name = {"character varying": "varchar", "decimal": "numeric"}.get(name, name)
    return name, [int(number) for number in re.findall(r"\d+", text)]


def _column(definition: str) -> Column:
    needs = re.search(r"\bNOT NULL\b|\bPRIMARY KEY\b", definition, re.IGNORECASE)
    default = re.search(r"\b(DEFAULT|GENERATED|\w*SERIAL)\b", definition, re.IGNORECASE)
    return Column(definition, bool(needs), bool(default))


def _is_rewritten(definition: str) -> bool:
    if re.search(r"\bGENERATED\b|\b\w*SERIAL\b", definition, re.IGNORECASE):
        return True
    default = re.search(r"\bDEFAULT\b(.*)", definition, re.IGNORECASE)
    if default is None:
        return False
    value = re.split(r"\b(?:CHECK|REFERENCES|CONSTRAINT)\b", default[1], flags=re.I)[0]
    value = re.sub(r"::\s*[\w ]+(\([\d, ]*\))?", "", value)  # a type may have a size
    return not set(re.findall(r"(\w+)\s*\(", value.lower())) <= STEADY


def _names(text: str) -> list[str]:
    names = re.sub(r"\b(CASCADE|RESTRICT)\b", "", text, flags=re.IGNORECASE)
    return [plain(each.strip()) for each in names.split(",")]
