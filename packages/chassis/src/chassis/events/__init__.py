"""Events: what happened, published to a topic exchange and received by services."""

from chassis.events.event import Event
from chassis.events.handlers import on

__all__ = ["Event", "on"]
