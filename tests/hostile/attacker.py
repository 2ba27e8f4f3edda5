"""`python -m tests.hostile.attacker PORT CLIENTS SECONDS ATTACK...`: a separate
process, so that it does not slow down the measurement."""

import asyncio
import sys

from tests.hostile.attacks import run

if __name__ == "__main__":
    port, clients, seconds, *names = sys.argv[1:]
    asyncio.run(run(int(port), names, int(clients), float(seconds)))
