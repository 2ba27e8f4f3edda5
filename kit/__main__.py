"""`python -m kit COMMAND NAME`, for a Python that has the development tools."""

import sys

from kit import commands

if __name__ == "__main__":
    sys.exit(commands.run(sys.argv[1], sys.argv[2:]))
