"""A service in a separate process."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

CHASSIS = Path(__file__).parents[2]
PROBE = ["-m", "tests.integration.probe"]


class ServiceProcess:
    """The probe, or another program, in a separate process; its log goes to a file."""

    def __init__(
        self, env: dict[str, str], log: Path, program: list[str] | None = None
    ) -> None:
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, *(program or PROBE)],
                cwd=log.parent,  # a folder without a `.env` nearby
                env={**os.environ, "PYTHONPATH": str(CHASSIS), **env},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def has_connected(self) -> bool:
        """Whether it logged that, which costs RabbitMQ no question."""
        return "Connected to" in self.log

    @property
    def losses(self) -> int:
        """The failures to connect and the losses that it logged."""
        return len(re.findall("(Lost|No connection to) (the queue|rabbitmq)", self.log))

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    @property
    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    @property
    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def signal(self, signum: signal.Signals) -> None:
        self._process.send_signal(signum)

    def wait(self, within: float = 30.0) -> int:
        return self._process.wait(within)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
