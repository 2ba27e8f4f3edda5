"""Expand and contract, enforced: `make check` reads what each migration would run.

A migration runs while the old release still serves requests. See docs/DEPLOYMENT.md,
"Upgrade".
"""
