"""Entry of `python3 -m local COMMAND`: prepares `.venv`, then runs the command there.

This file, `advice.py`, `bootstrap.py` and `isolation.py` run on the system's Python
with nothing installed, so they import only the standard library. This one must also
parse on old Pythons.
"""

import os
import sys


def main():  # type: () -> int
    if sys.version_info < (3, 11):
        print("This kit needs Python 3.11 or newer; this is", sys.version.split()[0])
        print("Try a newer one by name, such as: make run PYTHON=python3.11")
        return 1
    from local.advice import advice

    try:
        return _run()
    except OSError as error:
        known = advice(str(error))
        if not known:
            raise
        print(str(error) + known, file=sys.stderr)
        return 1


def _run():  # type: () -> int
    from contextlib import redirect_stdout

    from local import bootstrap
    from local.isolation import cleaned, isolated

    arguments = sys.argv[1:] or ["help"]
    if arguments[0] not in bootstrap.COMMANDS or arguments[0] == "help":
        print(bootstrap.usage())
        return 0 if arguments[0] == "help" else 2
    try:
        # What a command prints may be read by a program, as of `token`.
        with redirect_stdout(sys.stderr):
            tools = bootstrap.COMMANDS[arguments[0]].tools
            python = bootstrap.ensure(development=tools)
    except bootstrap.SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the next command finishes the installation.")
        return 130
    clean = isolated if bootstrap.COMMANDS[arguments[0]].isolated else cleaned
    environment = clean(os.environ)
    if not bootstrap.runs_in_venv() or environment != os.environ:
        words = [str(python), "-m", "local", *arguments]
        os.execve(python, words, environment)
    try:
        from local import commands
    except ModuleNotFoundError as error:
        print("`.venv` is incomplete:", error, file=sys.stderr)
        print("Remove it (rm -rf .venv); the next command makes it.", file=sys.stderr)
        return 1
    return commands.run(arguments[0], arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
