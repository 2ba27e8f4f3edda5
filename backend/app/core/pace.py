"""Keeps a crowd from the others who share the event loop."""

import asyncio


class Pace:
    """Lets one caller through in each turn of the event loop, in order of arrival.

    What comes next is short but without a pause. If many did it in one turn, every
    other request would wait for all of them.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def wait(self) -> None:
        """Return when it is the caller's turn."""
        async with self._lock:
            await asyncio.sleep(0)
