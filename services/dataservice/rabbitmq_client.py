"""EventReceiver, under the name by which a service's own code may import it."""

from chassis.rpc.receiver import EventReceiver

__all__ = ["EventReceiver"]
