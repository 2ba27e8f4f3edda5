"""Real servers for the tests that ask for them: see ``local/pytest_plugin.py``."""

pytest_plugins = ["local.pytest_plugin"]
