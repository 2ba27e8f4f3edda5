"""Clients that only call: `python -m bench.rpc_clients.NAME CALLS SECONDS`.

Each keeps CALLS calls in flight for SECONDS, checks every reply, and prints a `Load`.
"""
