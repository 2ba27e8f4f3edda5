"""The settings of events."""

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
