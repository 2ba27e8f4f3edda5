"""A kubectl on PATH that writes down its calls, and lets this process answer them.

The program is a few lines of shell that hand their arguments over through a pipe: a
Python for each of the many calls would take minutes. An answer of one line, as most
are, needs no `cat` either. Scripts call it once at a time: two at once would share a
pipe, and one would wait for ever.
"""

import os
import shlex
import sys
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = """\
#!/bin/sh
printf '%s\\037' "$@" >"{folder}/request"
{{
    read -r code lines
    [ "$code" = 0 ] || exec >&2
    if [ "$lines" = 0 ]; then IFS= read -r text; printf %s "$text"; else cat; fi
}} <"{folder}/reply"
exit "$code"
"""

# Scripts need no package, and nothing of those that a machine has may slow them down.
PYTHON = """\
#!/bin/sh
exec {python} -S -E "$@"
"""


@dataclass
class Recorder(ABC):
    """The program in a folder, and what it was called with."""

    folder: Path
    calls: list[list[str]] = field(default_factory=list, kw_only=True)

    @abstractmethod
    def answer(self, arguments: list[str]) -> str:
        """Standard output. Raises LookupError when the command fails."""

    def __post_init__(self) -> None:
        for name in ("request", "reply"):
            os.mkfifo(self.folder / name)
        self._make("kubectl", PROGRAM.format(folder=self.folder))
        python = shlex.quote(str(Path(sys.executable).resolve()))
        self._make("python3", PYTHON.format(python=python))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        (self.folder / "request").write_text("")
        self._thread.join(5)

    def _make(self, name: str, text: str) -> None:
        program = self.folder / name
        program.write_text(text)
        program.chmod(0o755)

    def _serve(self) -> None:
        while request := (self.folder / "request").read_text():
            arguments = request.split("\x1f")[:-1]
            self.calls.append(arguments)
            try:
                code, text = 0, self.answer(arguments)
            except LookupError as error:
                code, text = 1, str(error)
            lines = text.count("\n")
            (self.folder / "reply").write_text(f"{code} {lines}\n{text}")
