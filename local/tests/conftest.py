"""The servers of the plugin, for tests of the library itself."""

pytest_plugins = ["local.pytest_plugin"]
