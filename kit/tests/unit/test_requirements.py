"""The generators need only what `make run` installs."""

import re
import sys

from kit import commands
from local.bootstrap import COMMANDS


def test_the_generators_need_only_the_runtime_packages() -> None:
    text = (commands.ROOT / "local/requirements.txt").read_text()
    pinned = set(re.findall(r"^([\w-]+)==", text, re.MULTILINE))
    imported = {
        name.partition(".")[0]
        for file in [*commands.ROOT.glob("kit/*.py"), *commands.ROOT.glob("kit/*/*.py")]
        if "tests" not in file.parts
        for name in re.findall(r"^(?:from|import) ([\w.]+)", file.read_text(), re.M)
    }
    ours = {*sys.stdlib_module_names, "kit", "ruamel"}
    assert imported - ours <= pinned and "ruamel-yaml" in pinned
    kit = [
        name for name in COMMANDS if name == "rename" or re.match("new-|remove-", name)
    ]
    assert len(kit) == 8
    assert not [name for name in kit if COMMANDS[name].tools]
