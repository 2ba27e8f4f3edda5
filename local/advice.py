"""What to do about faults that come from the machine, whoever reports them.

pip, PostgreSQL, RabbitMQ and Python all pass on what the operating system says. So one
table from these words to advice serves installation, start and every process's log.
Standard library only: `bootstrap.py` imports it.
"""

import re

_ADVICE = (
    (
        r"No space left on device|Disk quota exceeded",
        "The disk is full: free some space (`df -h` shows where), then try again.\n"
        "`make clean` removes the local stack's data.",
    ),
    (
        r"Read-only file system",
        "Move the project to a folder that you can write to.",
    ),
    (
        r"Permission denied",
        "This user may not write there. If a command was once run with sudo, run\n"
        "`sudo chown -R $(id -un) .` in this folder. Else move it to a place of yours.",
    ),
    (
        r"certificate is not yet valid|certificate has expired",
        "The certificate's dates do not fit this machine's clock: check `date`.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "A proxy may replace certificates: name its CA file in PIP_CERT.",
    ),
    (
        r"DO NOT MATCH THE HASHES",
        "The download was cut off, or a proxy or mirror changed it: try again, or\n"
        "name another index in PIP_INDEX_URL.",
    ),
    (
        r"from versions: none|connection broken by|Read timed out",
        "The package index cannot be reached, or lacks this package for this Python.\n"
        "Check the network. Behind a proxy: export HTTPS_PROXY=http://HOST:PORT.\n"
        "For a mirror: export PIP_INDEX_URL=https://HOST/simple.",
    ),
    (
        r"SyntaxError|IndentationError",
        "Python cannot read the file that is named above: correct it, and start again.",
    ),
    (
        r"exists with other arguments",
        "The queue's arguments never change: delete the queue when it is empty. Those\n"
        "of `make run` are gone after `make clean`.",
    ),
)


def advice(said: str) -> str:
    """What to do about the fault in a text, in lines of their own; "" if unknown."""
    return next((f"\n{do}" for words, do in _ADVICE if re.search(words, said)), "")
