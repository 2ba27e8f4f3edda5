"""Lose each node of the highly available lab under load: `make ha`.

Every request is in the ledger of tests/chaos: nothing may be lost, doubled, or answered
with a 500.
"""
