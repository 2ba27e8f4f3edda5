"""Patroni with a shorter lease: `python -m local.ha.leased FILE`.

Patroni's rule is that loop_wait + 2 * retry_timeout fits into the lease: the primary
then stops before another may start. 1 + 2 * 3 s fit into 10 s. It still refuses less
than 20 s, because networks between real machines are slower than this one. The lease is
shortened where Patroni hands it to etcd.
"""

import sys
from importlib import import_module
from typing import Any

LEASE = 10  # seconds


def run() -> int | None:
    """Run Patroni, which only the lab installs."""
    etcd: Any = import_module("patroni.dcs.etcd3").Etcd3
    set_ttl = etcd.set_ttl
    etcd.set_ttl = lambda dcs, ttl: set_ttl(dcs, min(ttl, LEASE))
    code: int | None = import_module("patroni.__main__").main()
    return code


if __name__ == "__main__":
    sys.exit(run())
