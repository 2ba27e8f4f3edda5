"""A small OpenTelemetry receiver, for tests and for `make traces`."""

import os

# gRPC's fork handlers abort children that are about to exec another program, and tests
# start processes while the receiver runs. gRPC reads this when first imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc as grpc  # noqa: E402,F401
