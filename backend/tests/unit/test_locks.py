"""No two purposes share an advisory lock: one would wait for the other for ever."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDERS = ("backend/app", "backend/alembic", "packages/chassis/src")


def test_each_key_is_written_once() -> None:
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    list_of_keys = ROOT / "backend/app/core/locks.py"
    code = list_of_keys.read_text().rpartition('"""')[2]
    texts = [code, *(file.read_text() for file in files if file != list_of_keys)]
    keys = Counter(re.findall(r"\b7_?305_?021_?\d{3}\b", "".join(texts)))
    assert len(keys) >= 5 and max(keys.values()) == 1, keys
