"""The whole system under load while each of its parts is broken in turn, and an
account at the end in which nothing may be missing: `make chaos`.

`system` is what is broken, `faults` how and when, `clients` who asks meanwhile;
`ledger` holds what they were told against what is `stored`, `held` and `logs` look at
the processes, `record` and `report` write it down.
"""
