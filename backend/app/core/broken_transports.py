"""Tells a connection that has just broken from a bug."""

# uvloop raises it for a write between the break and the moment when the owner of the
# connection is told; asyncio's own loop drops such a write. Drivers let it pass.
_UVLOOP_TEXT = "the handler is closed"


def is_broken_transport(error: RuntimeError) -> bool:
    """Whether this is uvloop's error for a write to a broken connection."""
    return _UVLOOP_TEXT in str(error)
