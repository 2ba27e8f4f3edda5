"""`python3 -m bench`: prepares `.venv` as `python3 -m local` does, then measures."""

import os
import sys

from local import bootstrap
from local.isolation import isolated


def main() -> int:
    """Needs only Python until `.venv` is there."""
    try:
        python = bootstrap.ensure(development=False)
    except bootstrap.SetupError as error:
        print(error, file=sys.stderr)
        return 1
    environment = isolated(os.environ)
    if not bootstrap.runs_in_venv() or environment != os.environ:
        os.execve(python, [str(python), "-m", "bench", *sys.argv[1:]], environment)
    from bench.cli import main as run
    from local.process import ProcessFailed

    try:
        return run(sys.argv[1:])
    except ProcessFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
