"""Calls to services from plain code, under the names that endpoints import."""

from chassis.calls import call_service, get_queue_name

__all__ = ["call_service", "get_queue_name"]
