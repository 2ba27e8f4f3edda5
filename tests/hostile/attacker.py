"""`python -m tests.hostile.attacker PORT CLIENTS SECONDS ATTACK...`: in a process of
its own, so that it does not slow down what measures."""

import asyncio
import sys

from tests.hostile.attacks import run

if __name__ == "__main__":
    port, clients, seconds, *names = sys.argv[1:]
    asyncio.run(run(int(port), names, int(clients), float(seconds)))
