"""The plugin's servers, for tests of the library itself."""

pytest_plugins = ["local.pytest_plugin"]
