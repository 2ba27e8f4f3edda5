"""EventReceiver, under the name that a service's own code may import."""

from chassis.rpc.receiver import EventReceiver

__all__ = ["EventReceiver"]
