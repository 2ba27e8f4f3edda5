"""Chooses TCP ports on the loopback interface, and says where that is.

Some time passes between choosing a port and starting its server. To keep two stacks
that start together, even of different users, from choosing the same port, a process
claims each port by a name that disappears with the process.
"""

import random
import socket
import sys
import threading
import urllib.request

# Below the kernel's range for outgoing connections: a client could take a port from
# that range while its server is down for a moment.
_RANGE = range(20000, 32000)
_claimed: dict[int, socket.socket] = {}
_lock = threading.Lock()


def _can_bind(address: str) -> bool:
    try:
        with socket.socket(family(address)) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def family(address: str) -> socket.AddressFamily:
    """Of an IP address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


# A machine or container may have IPv6 alone.
LOOPBACK = "127.0.0.1" if _can_bind("127.0.0.1") else "::1"
_EVERYWHERE = "0.0.0.0" if LOOPBACK == "127.0.0.1" else "::"

# For requests to this machine: no proxy of the environment gets them.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def at(port: int, host: str = LOOPBACK) -> str:
    """`host:port` as URLs and servers' settings write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_free(port: int) -> bool:
    """Whether a server could listen on the port, on loopback and everywhere."""
    for address in (LOOPBACK, _EVERYWHERE):
        with socket.socket(family(address)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                probe.listen(1)
            except OSError:
                return False
    return True


def claim(port: int) -> bool:
    """Claim a free port for this process, for as long as it lives."""
    with _lock:
        if port in _claimed:
            return False
        name = socket.socket(socket.AF_UNIX)
        try:
            if sys.platform == "linux":  # others have only file names
                name.bind(f"\0fastapi-kit-port-{port}")
        except OSError:
            name.close()
            return False
        if not is_free(port):
            name.close()
            return False
        _claimed[port] = name
        return True


def free_port() -> int:
    """A free port that no other process has claimed."""
    while True:
        if claim(port := random.choice(_RANGE)):
            return port


def standard_or_free(standard: int) -> int:
    """The standard port if it is free, otherwise any free one."""
    return standard if claim(standard) else free_port()


def accepts(port: int, host: str = LOOPBACK) -> bool:
    """Whether something accepts connections on the port."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
