"""The kit's data service on a classic queue, which tells what its quorum queue costs.

Run in the service's folder, whose modules it imports. The service itself offers no such
choice, since a classic queue has no delivery limit and keeps no second copy.
"""

import os
import sys

sys.path.insert(0, os.getcwd())

from app.data_service import DataService  # type: ignore  # noqa: E402
from chassis.rpc.topology import MAX_LENGTH, RequestQueue  # noqa: E402
from chassis.service import serve  # noqa: E402

if __name__ == "__main__":
    RequestQueue.arguments = {  # type: ignore
        "x-max-length": MAX_LENGTH,
        "x-overflow": "reject-publish",
    }
    RequestQueue.dead_letter_arguments = {}  # type: ignore
    serve(DataService)
