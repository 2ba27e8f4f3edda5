"""Fixtures for real servers: see ``local/pytest_plugin.py``."""

pytest_plugins = ["local.pytest_plugin"]
