"""The AsyncAPI 3 document of the events: https://www.asyncapi.com/docs."""

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from app.core.config import Settings
from app.models.event_types import EVENT_TYPES, EventType
from chassis.events.event import CONTENT_TYPE

ASYNCAPI_URL = "/api/v1/asyncapi.json"
VERSION = "3.0.0"

# What every event has, and what some have.
EVENT = {
    "specversion": {"const": "1.0"},
    "id": {"type": "string", "format": "uuid"},
    "source": {"type": "string", "format": "uri-reference"},
    "subject": {
        "type": "string",
        "maxLength": 64,
        "description": "What it is about; for a record its task id. The events of a "
        "subject arrive in order.",
    },
    "time": {"type": "string", "format": "date-time"},
    "sequence": {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "Its place in the log: later events have higher numbers.",
    },
    "datacontenttype": {"const": "application/json"},
}
OPTIONAL_PARTS = {
    "correlationid": "The id of the request that caused it.",
    "traceparent": "The trace of that request (W3C Trace Context).",
    "owner": "Who may see it, besides admins.",
    "actor": "Who caused it.",
}
FILTERS = {
    "after": "Only events after this sequence.",
    "task_id": "Only events of this record.",
}


def asyncapi_document(settings: Settings, version: str) -> dict[str, Any]:
    """The document, made of the declared types of events."""
    types = list(EVENT_TYPES.values())
    schemas: dict[str, Any] = {}
    messages = {each.name: _message(each, schemas) for each in types}
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Events",
            "version": version,
            "description": "What happens to records, as CloudEvents 1.0. Receive each "
            "at least once from RabbitMQ, or exactly once and in order over HTTP.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": dict(_channels(types, settings.events.exchange)),
        "operations": dict(_sendings(types)),
        "components": {"messages": messages, "schemas": schemas},
    }


def _message(kind: EventType[Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Its schema goes to ``schemas``, with what it refers to."""
    template = "#/components/schemas/{model}"
    schema = TypeAdapter(kind.data).json_schema(
        ref_template=template, mode="serialization"
    )
    schemas |= schema.pop("$defs", {})
    examples = schema.pop("examples", [])
    schemas[kind.data.__name__] = schema
    texts = {
        name: {"type": "string", "description": text}
        for name, text in OPTIONAL_PARTS.items()
    }
    data = {"$ref": template.format(model=kind.data.__name__)}
    return {
        "name": kind.name,
        "title": kind.name,
        "summary": kind.text,
        "contentType": CONTENT_TYPE,
        "payload": {
            "type": "object",
            "required": [*EVENT, "type", "data"],
            "properties": {
                **EVENT,
                "type": {"const": kind.name},
                **texts,
                "data": data,
            },
        },
        "examples": [{"payload": _example(kind.name, one)} for one in examples],
    }


def _example(name: str, data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "0b6b3f5e-9a07-4f0e-8a36-0d3d5d2f7a10",
        "source": "/fastapi-starter",
        "type": name,
        "subject": data.get("task_id", "42"),
        "time": "2026-01-01T12:00:00.012000+00:00",
        "sequence": "786432",
        "datacontenttype": "application/json",
        "correlationid": "order-1",
        "data": data,
    }


def _channels(
    types: list[EventType[Any]], exchange: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    topic = {"name": exchange, "type": "topic", "durable": True, "vhost": "/"}
    for kind in types:
        yield kind.name, {
            "address": kind.name,
            "description": "The address is the routing key.",
            "messages": _references([kind]),
            "bindings": {"amqp": {"is": "routingKey", "exchange": topic}},
        }
    query = {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": text}
            for name, text in FILTERS.items()
        },
    }
    yield "websocket", {
        "address": "/api/v1/events/ws",
        "description": "All events that the caller may see, one in each message.",
        "messages": _references(types),
        "bindings": {"ws": {"method": "GET", "query": query}},
    }
    yield "stream", {
        "address": "/api/v1/events/stream",
        "description": "The same as server-sent events: `id` is the sequence, `event` "
        "the type, `data` the event.",
        "messages": _references(types),
        "bindings": {"http": {}},
    }


def _references(types: list[EventType[Any]]) -> dict[str, Any]:
    return {kind.name: {"$ref": f"#/components/messages/{kind.name}"} for kind in types}


def _sendings(types: list[EventType[Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for channel in [*(kind.name for kind in types), "websocket", "stream"]:
        yield f"send {channel}", {
            "action": "send",
            "channel": {"$ref": f"#/channels/{channel}"},
        }
