"""The whole system under load while each of its parts is broken in turn: `make chaos`.
At the end, an account must show that nothing is missing.

`system` is the system, `faults` are the faults and their order, `clients` send the
requests. `streams` are clients that listen to events, `subscriber` is a service that
receives them, `receiver` gets them from a webhook. `ledger` compares the clients'
answers with what is `stored`, `events` the event log with what everybody received.
`rebuilt` asks whether the log explains the records. `held` and `logs` inspect the
processes; `record` and `report` write the results.
"""
