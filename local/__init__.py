"""The whole stack on one machine, without containers: servers, launcher, checks.

`python3 -m local help` lists the commands; `local/__main__.py` explains how they run.
"""
