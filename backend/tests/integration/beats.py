"""Beat processes that share one Redis."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

BACKEND = Path(__file__).parents[2]
COMMAND = ("-m", "celery", "-A", "app.worker", "beat", "--pidfile=")
ACTIVE, STANDBY = "This beat is active", "Another beat is active"
SENDING = "Sending due task sweep"


class BeatProcess:
    """``celery beat``, which sends a sweep every second."""

    def __init__(self, folder: Path, url: str, key_prefix: str = "") -> None:
        folder.mkdir()
        self.heartbeat, self._log = folder / "heartbeat", folder / "log"
        env = {
            "CELERY_BROKER_URL": url,
            "CELERY_RESULT_BACKEND": url,
            "CELERY_KEY_PREFIX": key_prefix,
            "CELERY_SWEEP_EVERY_SECONDS": "1",
            "CELERY_HEARTBEAT_FILE": str(self.heartbeat),
        }
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *COMMAND],
                cwd=BACKEND,
                env={**os.environ, **env},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def is_active(self) -> bool:
        """Whether its log says so."""
        text = self.said()
        return text.rfind(ACTIVE) > text.rfind(STANDBY)

    def said(self) -> str:
        """Its log so far."""
        return self._log.read_text()

    def kill(self) -> None:
        """It notices nothing."""
        self.process.kill()
        self.process.wait()


StartBeat = Callable[..., BeatProcess]


@contextmanager
def beats(folder: Path) -> Iterator[StartBeat]:
    """Starts beats, and kills them in the end."""
    with ExitStack() as running:

        def start(name: str, url: str, key_prefix: str = "") -> BeatProcess:
            beat = BeatProcess(folder / name, url, key_prefix)
            running.callback(lambda: print(name, beat.said()))
            running.callback(beat.kill)
            return beat

        yield start
