"""Calls to services and the other end of them, under the names of the backend."""

from chassis.rpc.producers import AsyncEventProducer, EventProducer, LogEvent
from chassis.rpc.receiver import EventReceiver

__all__ = ["AsyncEventProducer", "EventProducer", "EventReceiver", "LogEvent"]
