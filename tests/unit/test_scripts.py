"""Scripts end at the first failure, and say so by their exit code."""

import re

import pytest

from local.apps import ROOT
from tests.unit.documents import tracked

SCRIPTS = [path for path in tracked() if path.endswith(".sh")] + [".ci/run"]
STRICT = {"#!/usr/bin/env bash": "set -euo pipefail", "#!/bin/sh": "set -eu"}
# Asks each command how it ended.
CAREFUL = {"deploy/compose/require-docker.sh"}


@pytest.mark.parametrize("path", SCRIPTS)
def test_a_script_ends_at_the_first_failure(path: str) -> None:
    text = (ROOT / path).read_text()
    first, _, rest = text.partition("\n")
    if first == "# shellcheck shell=bash":  # a part of others, which are strict
        assert "\nset " not in text
        return
    code = [line for line in rest.splitlines() if not line.startswith("#")]
    settings = [line for line in code if line.startswith("set ")]
    assert path in CAREFUL or settings[:1] == [STRICT[first]]
    assert not re.search(r"^\s*set \+", rest, re.MULTILINE)
