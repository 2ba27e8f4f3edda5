"""The settings of events."""

from pathlib import Path

from pydantic import Field

from chassis.settings import EventSettings

SOURCE = "/fastapi-starter"


class EventLogSettings(EventSettings):
    """Events (relay, API)."""

    source: str = Field(
        SOURCE,
        min_length=1,
        description="Where events come from: a URI of this system, for the attribute "
        "`source` of CloudEvents",
    )
    relay_heartbeat_file: Path | None = Field(
        None,
        description="The file that the relay touches every second while it works, for "
        "probes",
    )
    max_streams: int = Field(
        1000,
        ge=1,
        description="Streams of events (SSE and WebSocket) that a process has open; "
        "more are answered 503",
    )
    max_streams_of_caller: int = Field(
        100,
        ge=1,
        description="How many of them one subject may have, or one address without "
        "authentication; more are answered 429",
    )
    stream_max_seconds: float = Field(
        3600,
        gt=0,
        description="The age at which a stream ends and the client opens another, with "
        "a token that is valid then",
    )
