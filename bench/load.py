"""HTTP load from a separate process: wrk, or Python where wrk is missing."""

import shutil
import subprocess
import sys
from pathlib import Path

from bench.figures import Load
from local.apps import ROOT
from local.process import ProcessFailed

SCRIPT = Path(__file__).with_name("post.lua")


def generator() -> str:
    """The name of the generator on this machine."""
    return "wrk" if shutil.which("wrk") else "bench.load_asyncio"


def post(url: str, connections: int, seconds: int) -> Load:
    """POST as fast as answers come, on connections that stay open. Raises ProcessFailed
    if nothing was answered.

    Raises ProcessFailed when nothing was answered.
    """
    if wrk := shutil.which("wrk"):
        command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
        command += ["-s", str(SCRIPT), url]
    else:
        command = [sys.executable, "-m", "bench.load_asyncio", url]
        command += [str(connections), str(seconds)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise ProcessFailed(f"no load on {url}:\n{result.stdout}{result.stderr}")
    seen = Load.from_json(result.stdout)
    if seen.requests == 0:
        raise ProcessFailed(f"{url} answered nothing in {seconds} s")
    return seen
