"""Entries of shared files: inserted in the right place, removed without a trace."""

import json

import pytest

from kit.formats import Entry, json_lists, python_tuples, yaml_lines
from kit.tree import KitError

COMPOSE = """\
# What runs.
x-service: &service
  <<: *ours   # of another file
  args: [a, b]

services:
  # The first.
  api:
    command: |
      one

      two

    depends_on: &needs
      data: {condition: healthy}  # before all

  worker:
    <<: *service
    depends_on: *needs
    environment:
      EMPTY:
  # Here end the services.

networks: {}
"""
FRAGMENT = """\
services:
  api:
    depends_on:
      specimen: {condition: healthy}

  # Of its own.
  specimen:
    <<: *service

    environment:
      EMPTY:
networks:
  specimen-network:
"""
EXPECTED = """\
# What runs.
x-service: &service
  <<: *ours   # of another file
  args: [a, b]

services:
  # The first.
  api:
    command: |
      one

      two

    depends_on: &needs
      data: {condition: healthy}  # before all
      specimen: {condition: healthy}

  worker:
    <<: *service
    depends_on: *needs
    environment:
      EMPTY:

  # Of its own.
  specimen:
    <<: *service

    environment:
      EMPTY:
  # Here end the services.

networks:
  specimen-network:
"""


def insert_all(text: str, entries: list[Entry]) -> str:
    for entry in entries:
        text = yaml_lines.insert(text, entry)
    return text


def test_yaml_keeps_every_other_line() -> None:
    entries = list(yaml_lines.entries(FRAGMENT))
    made = insert_all(COMPOSE, entries)
    assert made == EXPECTED
    for entry in entries:
        removed = yaml_lines.remove(made, entry, force=False)
        assert removed is not None
        made = removed
    assert made == COMPOSE


@pytest.mark.parametrize(
    "text",
    [
        "resources:\n  - a/a.yaml  # first\n\nlabels:\n  - pairs: {}\n",
        "resources:\n- a/a.yaml\n- name: b\n  text: |\n    c\nlabels:\n- x\n",
        "resources: []  # none yet\nlabels: [x]\n",
        "labels: [x]\nresources:\n    - >\n      a\n",
    ],
)
def test_items_of_lists(text: str) -> None:
    fragment = "resources:\n  - name: specimen\n    envs: [x]\n"
    (entry,) = yaml_lines.entries(fragment)
    made = yaml_lines.insert(text, entry)
    assert {"name": "specimen", "envs": ["x"]} in yaml_lines.load(made)["resources"]
    assert yaml_lines.load(made)["labels"] == yaml_lines.load(text)["labels"]
    assert yaml_lines.remove(made, entry, force=False) == text
    with pytest.raises(KitError, match="specimen already exists"):
        yaml_lines.insert(made, entry)


def test_several_are_removed_in_any_order() -> None:
    text = "list:\n  - a\n"
    entries = [Entry(("list",), f"  # Of {name}.\n  - {name}\n") for name in "bcd"]
    made = insert_all(text, entries)
    for number in (1, 0, 2):
        made = yaml_lines.remove(made, entries[number], force=False) or ""
    assert made == text


def test_edited_entries_stay_unless_forced() -> None:
    _, entry, _ = yaml_lines.entries(FRAGMENT)
    changed = EXPECTED.replace("    <<: *service\n\n    env", "    mine: 1\n    env")
    assert changed != EXPECTED
    assert yaml_lines.remove(changed, entry, force=False) is None
    forced = yaml_lines.remove(changed, entry, force=True)
    assert forced is not None and "mine" not in forced
    assert yaml_lines.load(forced)["services"].keys() == {"api", "worker"}
    assert yaml_lines.remove(COMPOSE, entry, force=True) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("other: 1\n", "services is missing"),
        ("services: {a: 1}\n", "services is on one line"),
        ("services: [\n", "invalid YAML"),
    ],
)
def test_yaml_that_cannot_be_extended_is_explained(text: str, reason: str) -> None:
    entry = Entry(("services",), "  specimen: 1\n")
    with pytest.raises(KitError, match=reason):
        yaml_lines.insert(text, entry)


def test_values_are_replaced() -> None:
    """In any order, and by words of other lengths."""
    values = {
        ("services", "worker", "depends_on"): "[api]",
        ("services", "api", "depends_on", "data"): "{}",
    }
    expected = COMPOSE.replace("depends_on: *needs", "depends_on: [api]")
    expected = expected.replace("{condition: healthy}", "{}")
    assert yaml_lines.set_values(COMPOSE, values) == expected


def test_json() -> None:
    text = json.dumps({"a": 1, "queues": [{"name": "one"}]}, indent=2) + "\n"
    fragment = '{"queues": [{"name": "two"}, {"name": "three", "x": {"y": 1}}]}'
    first, second = json_lists.entries(fragment)
    made = json_lists.insert(json_lists.insert(text, first), second)
    assert [each["name"] for each in json.loads(made)["queues"]] == [
        *("one", "two", "three")
    ]
    with pytest.raises(KitError, match="two already exists"):
        json_lists.insert(made, first)
    changed = made.replace('"y": 1', '"y": 2')
    assert json_lists.remove(changed, second, force=False) is None
    made = json_lists.remove(changed, second, force=True) or ""
    assert json_lists.remove(made, first, force=False) == text
    with pytest.raises(KitError, match="the list queues is missing"):
        json_lists.insert("{}", first)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ALL = ()\n", "ALL = (\nS('c', 'd'),\n)\n"),
        ("ALL: X = (S('ü'),)\n", "ALL: X = (S('ü'),\nS('c', 'd'),\n)\n"),
        (
            "ALL = (\n    # Each.\n    S('a'),  # one\n)\nx = 1\n",
            "ALL = (\n    # Each.\n    S('a'),  # one\n\nS('c', 'd'),\n)\nx = 1\n",
        ),
        ("ALL = (S('a'), S('b'))\n", "ALL = (S('a'), S('b'),\nS('c', 'd'),\n)\n"),
    ],
)
def test_python(before: str, after: str) -> None:
    (entry,) = python_tuples.entries("ALL = (S('c', 'd'),)")
    assert python_tuples.insert(before, entry) == after
    removed = python_tuples.remove(after, entry, force=False)
    assert removed is not None
    again = python_tuples.insert(removed, entry)
    assert list(python_tuples.entries(again)) == list(python_tuples.entries(after))
    with pytest.raises(KitError, match="already exists"):
        python_tuples.insert(after.replace("'d'", "'e'"), entry)
    assert python_tuples.remove(after.replace("'d'", "'e'"), entry, force=False) is None
    with pytest.raises(KitError, match="the tuple ALL is missing"):
        python_tuples.insert("SOME = ()", entry)


def test_a_changed_call_is_removed_only_with_force() -> None:
    (entry,) = python_tuples.entries("ALL = (S('c', 'd'),)")
    text = "ALL = (\n    S('a'),\n    S('c', 'mine'),\n)\n"
    assert python_tuples.remove(text, entry, force=False) is None
    removed = python_tuples.remove(text, entry, force=True)
    assert removed is not None and "mine" not in removed and "S('a')" in removed
