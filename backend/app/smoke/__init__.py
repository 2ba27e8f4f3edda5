"""The smoke test: asks a running system for each of its promises once, by HTTP."""
