"""Calls between processes: both ends of the contract in ``docs/RPC.md``."""
