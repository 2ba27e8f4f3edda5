"""A machine that has IPv6 alone: its loopback is ::1."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.apps import ROOT

# `unshare` gives the commands a network of their own.
NETWORK = ("unshare", "--user", "--map-root-user", "--net", "sh", "-c")
IPV6_ALONE = 'ip link set lo up && ip addr del 127.0.0.1/8 dev lo && exec "$@"'

SCRIPT = """
import sys
from pathlib import Path
from local import ports
from local.apps import answers
from local.servers.nginx import Nginx
from local.servers.redis import Redis
from local.state import State

state = State(Path(sys.argv[1]))
state.acquire()
redis = Redis(state, ports.free_port())
gateway = Nginx(state, ports.free_port(), [1])
try:
    redis.start()
    gateway.start()
    print(redis.address, gateway.address)
    print(answers(gateway.url, 502))
finally:
    gateway.stop()
    redis.stop()
    state.release()
"""


def has_namespaces() -> bool:
    """Whether this user may have a network of its own."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        return False
    probe = subprocess.run([*NETWORK, f"set -- true; {IPV6_ALONE}"])
    return probe.returncode == 0


@pytest.mark.skipif(not has_namespaces(), reason="no network namespaces here")
def test_servers_listen_on_ipv6_where_there_is_nothing_else(tmp_path: Path) -> None:
    command = [*NETWORK, IPV6_ALONE, "sh", sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    addresses, answered = done.stdout.splitlines()
    assert addresses.startswith("redis://[::1]:") and " http://[::1]:" in addresses
    assert answered == "True"
