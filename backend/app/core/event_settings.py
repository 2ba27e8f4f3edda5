"""The settings of events."""

from pathlib import Path

from pydantic import Field

from chassis.settings import EventSettings


class EventLogSettings(EventSettings):
    """Events (relay, API)."""

    source: str = Field(
        "/fastapi-starter",
        min_length=1,
        description="Where events come from: a URI of this system, for the attribute "
        "`source` of CloudEvents",
    )
    relay_heartbeat_file: Path | None = Field(
        None,
        description="The file that the relay touches every second while it works, for "
        "probes",
    )
