"""``python -m app.smoke URL``: prints a table of the promises; 1 if one is broken.

Needs no setting and no server of ours except the gateway at URL.
"""

import argparse
import ssl
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import httpx2

from app import __title__, __version__
from app.smoke.plan import Plan, read_plan
from app.smoke.promises import Try, guarded_promises, open_promises
from app.smoke.system import PATIENCE, TIMEOUT, Broken, Skipped, System

RESULTS = OK, FAILED, SKIPPED = "ok", "FAILED", "skipped"
NOT_ASKED = "not asked, because of the line above"
HEADER = ("promise", "result", "ms", "reason")
LINE = "{:{width}}  {:7}  {:>6}  {}"


class PromiseResult(NamedTuple):
    """A line of the table."""

    promise: str
    result: str
    milliseconds: float
    reason: str = ""


def run_smoke_test(arguments: list[str] | None = None) -> int:
    """Try all promises of the system that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="app.smoke", description="Ask a running system for each promise once."
    )
    parser.add_argument("url", metavar="URL", help="address of the gateway")
    parser.add_argument(
        "--token-file", type=_read_token, metavar="FILE", help="has an access token"
    )
    parser.add_argument(
        "--ca-file", type=_trust, metavar="FILE", help="the authority to trust (PEM)"
    )
    parser.add_argument(
        "--patience",
        type=_patience,
        default=PATIENCE,
        metavar="SECONDS",
        help=f"for the end of accepted work, at most {PATIENCE:g}",
    )
    given = parser.parse_args(arguments)
    with httpx2.Client(
        base_url=given.url,
        timeout=TIMEOUT,
        verify=given.ca_file or True,
        trust_env=False,  # no proxy
    ) as http:
        system = System(http, given.token_file, given.patience)
        print(f"{__title__} {__version__} asks {given.url}")
        print(f"Request ids begin with {system.run}\n")
        plan = read_plan()
        tried = try_all(system, plan, has_token=given.token_file is not None)
        return print_results(tried, max(map(len, promise_names(plan))))


def try_all(system: System, plan: Plan, *, has_token: bool) -> Iterator[PromiseResult]:
    """A line for each promise; the first ones tell whether the others need a token."""
    for name, attempt in open_promises(plan, has_token):
        yield (last := _try_one(system, name, attempt))
    is_refused = last.result == FAILED and not has_token
    for name, attempt in guarded_promises(plan):
        if is_refused:
            yield PromiseResult(name, SKIPPED, 0, NOT_ASKED)
        else:
            yield _try_one(system, name, attempt)


def promise_names(plan: Plan) -> list[str]:
    """Of all that are tried."""
    promises = chain(open_promises(plan, has_token=False), guarded_promises(plan))
    return [name for name, _ in promises]


def _try_one(system: System, name: str, attempt: Try) -> PromiseResult:
    system.begin()
    result, reason = OK, ""
    began = time.monotonic()
    try:
        attempt(system)
    except Skipped as error:
        result, reason = SKIPPED, str(error)
    except Broken as error:
        result, reason = FAILED, str(error)
    except httpx2.HTTPError as error:
        result, reason = FAILED, f"no answer: {error or type(error).__name__}"
    except (KeyError, TypeError, ValueError) as error:
        result, reason = FAILED, f"not the documented answer: {error!r}"
    if result == FAILED:
        reason += f" [{system.request_id}]"
    return PromiseResult(name, result, (time.monotonic() - began) * 1000, reason)


def print_results(results: Iterable[PromiseResult], width: int) -> int:
    """Print each line of the table when it is known, then how many promises were kept;
    returns the exit code. ``width`` is that of the first column."""
    count: Counter[str] = Counter()
    print(LINE.format(*HEADER, width=width).rstrip())
    for each in results:
        count[each.result] += 1
        milliseconds = f"{each.milliseconds:.0f}" if each.result != SKIPPED else ""
        row = (each.promise, each.result, milliseconds, each.reason)
        print(LINE.format(*row, width=width).rstrip(), flush=True)
    print("\n" + ", ".join(f"{count[name]} {name}" for name in RESULTS if count[name]))
    return 1 if count[FAILED] else 0


def _read_token(path: str) -> str:
    try:
        token = Path(path).read_text().strip()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot be read: {error}") from None
    if not token or len(token.split()) > 1:
        raise argparse.ArgumentTypeError(f"{path} has to contain one token")
    return token


def _patience(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= PATIENCE:
        raise ValueError
    return seconds


def _trust(path: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one, too
        raise argparse.ArgumentTypeError(f"cannot be used: {error}") from None


if __name__ == "__main__":
    raise SystemExit(run_smoke_test())
