"""Both ends of calls to services, under the backend's names."""

from chassis.rpc.producers import AsyncEventProducer, EventProducer, LogEvent
from chassis.rpc.receiver import EventReceiver

__all__ = ["AsyncEventProducer", "EventProducer", "EventReceiver", "LogEvent"]
