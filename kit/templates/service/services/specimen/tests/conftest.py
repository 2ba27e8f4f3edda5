# if events
"""Servers for the integration tests, from the repository's `local` library."""

pytest_plugins = ["local.pytest_plugin"]
# end
