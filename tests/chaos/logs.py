"""The logs of the processes: every traceback belongs to a request, and no secret
appears."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

TRACEBACK = "Traceback (most recent call last)"


def audit(logs: Iterable[Path], env: Mapping[str, str], mark: str) -> list[str]:
    """Faulty lines of our processes; `mark` is in everything that clients sent."""
    user = urlsplit(env["DATABASE_URL"])
    secrets = {
        "a password": env["RABBITMQ_PASSWORD"],
        "a URL with a password": f"{user.username}:{user.password}@",
        "what a client sent": mark,
    }
    findings: list[str] = []
    for log in logs:
        findings += inspect(log, secrets)
    return findings


def inspect(log: Path, secrets: dict[str, str]) -> Iterator[str]:
    """The faulty lines of one file of JSON lines."""
    seen = set()
    for text in log.read_text(errors="replace").splitlines():
        for finding in _judge(text, secrets):
            if finding not in seen:
                seen.add(finding)
                yield f"{log.name}: {finding}"


def _judge(text: str, secrets: dict[str, str]) -> Iterator[str]:
    for what, secret in secrets.items():
        if secret in text:
            yield f"{what}: {text[:160]}"
    try:
        line = json.loads(text)
    except ValueError:
        if TRACEBACK in text:
            yield "a traceback outside of any log line"
        return
    if "exception" in line and not (line.get("request_id") or line.get("task_id")):
        where = line["exception"].strip().splitlines()[-1]
        yield f"a traceback of no request: {line['message'][:120]} ({where[:120]})"
