"""`traces`: the last traces of the running stack, as trees."""

import sys
from pathlib import Path

from local.otlp.model import Span
from local.otlp.tree import draw, last_traces
from local.state import LOCAL
from local.terminal import is_colourful
from local.tls import Tls, open_url

# In the run's folder: where the receiver returns spans, and, with TLS, the folder of
# the certificates.
URL_FILE = "traces-url"
NOT_RUNNING = (
    "No trace receiver is running: start the stack with `make run ARGS=--traces`."
)
DEFAULT_COUNT = 10


def show(arguments: list[str], path: Path = LOCAL / "run") -> int:
    """Print the last traces, ten by default; returns 1 if there are none."""
    count = int(arguments[0]) if arguments else DEFAULT_COUNT
    try:
        url, *folder = (path / URL_FILE).read_text().splitlines()
        tls = Tls(Path(folder[0])) if folder else None
        with open_url(url, 5, tls) as answer:
            spans = [Span.from_json(line) for line in answer.read().splitlines()]
    except OSError:
        print(NOT_RUNNING, file=sys.stderr)
        return 1
    for trace in last_traces(spans, count):
        print(draw(trace, colours=is_colourful(sys.stdout)), end="\n\n")
    if not spans:
        print("No traces yet: send a request.")
    return 0
