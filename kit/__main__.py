"""`python -m kit COMMAND NAME`, where the development tools are installed already."""

import sys

from kit import commands

if __name__ == "__main__":
    sys.exit(commands.run(sys.argv[1], sys.argv[2:]))
