"""The kit's data service on a classic queue, which tells what its quorum queue costs.

Run in the service's folder, whose modules it imports. The service itself offers no such
choice, since a classic queue has no delivery limit and keeps no second copy.
"""

import os
import sys

sys.path.insert(0, os.getcwd())

from app.rpc.topology import (  # type: ignore  # noqa: E402
    MAX_LENGTH,
    RequestQueue,
)
from main import main  # type: ignore  # noqa: E402

if __name__ == "__main__":
    RequestQueue.arguments = {
        "x-max-length": MAX_LENGTH,
        "x-overflow": "reject-publish",
    }
    RequestQueue.dead_letter_arguments = {}
    main()
