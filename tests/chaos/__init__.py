"""The whole system under load while each of its parts is broken in turn: `make chaos`.
At the end, an account must show that nothing is missing.

`system` is the system, `faults` are the faults and their order, `clients` send the
requests. `ledger` compares the clients' answers with what is `stored`. `held` and
`logs` inspect the processes; `record` and `report` write the results.
"""
