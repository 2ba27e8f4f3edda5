"""The receiving side of the RPC contract (`docs/RPC.md` in the repository)."""
