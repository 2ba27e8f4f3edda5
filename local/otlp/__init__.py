"""A small receiver of OpenTelemetry's data, for tests and for `make traces`."""

import os

# gRPC's fork handlers abort children that are about to become other programs: tests
# start processes while the receiver runs. Read when gRPC is first imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc as grpc  # noqa: E402,F401
