"""A kubectl on PATH that writes down its calls, and lets this process answer them.

The program is a few lines of shell that hand their arguments over through a pipe: a
Python for each of the many calls would take minutes.
"""

import os
import sys
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = """\
#!/bin/sh
printf '%s\\037' "$@" >"{folder}/request"
{{
    IFS= read -r code
    if [ "$code" = 0 ]; then cat; else cat >&2; fi
}} <"{folder}/reply"
exit "$code"
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
        program = self.folder / "kubectl"
        program.write_text(PROGRAM.format(folder=self.folder))
        program.chmod(0o755)
        # Not what a version manager puts on PATH: that takes 80 ms more each time.
        (self.folder / "python3").symlink_to(Path(sys.executable).resolve())
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        (self.folder / "request").write_text("")
        self._thread.join(5)

    def _serve(self) -> None:
        while request := (self.folder / "request").read_text():
            arguments = request.split("\x1f")[:-1]
            self.calls.append(arguments)
            try:
                code, text = 0, self.answer(arguments)
            except LookupError as error:
                code, text = 1, str(error)
            (self.folder / "reply").write_text(f"{code}\n{text}")
