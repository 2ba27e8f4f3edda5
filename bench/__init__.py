"""Compares the kit with other ways to wire the same stack, in one run.

`make bench` starts private servers, runs every contender in turn for several rounds,
and writes `docs/BENCHMARKS.md`.
"""
