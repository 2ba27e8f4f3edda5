"""Calls to services, under the backend's own name. The code is the chassis's."""

from chassis.rpc.producers import (
    AsyncEventProducer,
    EventProducer,
    LogEvent,
    OnLogEvent,
)
from chassis.rpc.receiver import EventReceiver
from chassis.rpc.wire import Reply

__all__ = [
    "AsyncEventProducer",
    "EventProducer",
    "EventReceiver",
    "LogEvent",
    "OnLogEvent",
    "Reply",
]
