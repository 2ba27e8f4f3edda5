"""What happened: the event log, and live streams of it."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response, WebSocket
from starlette.requests import HTTPConnection

from app.api.dependencies import EventServiceDep
from app.api.errors import responses
from app.api.event_streams import (
    EventStreamResponse,
    check_origin,
    serve_websocket,
)
from app.api.middleware.head import is_head
from app.api.middleware.rate_limits import caller_of
from app.api.openapi import headers, stream_example
from app.api.security import READ_EVENTS, PrincipalDep, requires
from app.api.v1.parameters import EQUAL, MAX_LIMIT, TaskIdQuery
from app.models.schemas import CloudEvent
from app.repositories.event_repository import EventFilter
from app.services.event_stream import EventStream

router = APIRouter(prefix="/events", tags=["events"])

MAX_SEQUENCE = 2**63 - 1

AfterQuery = Annotated[
    int | None,
    Query(
        ge=0,
        le=MAX_SEQUENCE,
        description="Only events after the one with this `sequence`.",
        examples=[0],
    ),
]
LastEventId = Annotated[
    int | None,
    Header(
        alias="Last-Event-ID",
        ge=0,
        le=MAX_SEQUENCE,
        description="Browsers send it when they reconnect; it replaces `after`.",
    ),
]
TypeQuery = Annotated[
    str | None, Query(max_length=64, pattern=r"^[a-z0-9_.]+$", description=EQUAL)
]


async def get_event_filter(
    principal: PrincipalDep, task_id: TaskIdQuery = None, type: TypeQuery = None
) -> EventFilter:
    """The events that the caller wants, of those that they may see."""
    return EventFilter(principal.sees, task_id, type)


EventFilterDep = Annotated[EventFilter, Depends(get_event_filter)]


async def open_event_stream(
    connection: HTTPConnection,
    service: EventServiceDep,
    wanted: EventFilterDep,
    after: AfterQuery = None,
    last_event_id: LastEventId = None,
) -> AsyncIterator[EventStream | None]:
    """A stream for as long as the client listens; None if there is nothing to come."""
    begin = after if last_event_id is None else last_event_id
    caller = caller_of(connection.scope)
    async with service.open_stream(caller, wanted, begin) as stream:
        yield stream


EventStreamDep = Annotated[EventStream | None, Depends(open_event_stream)]


@router.get(
    "",
    dependencies=[requires(READ_EVENTS)],
    response_model=list[CloudEvent],
    responses=headers(200, "Link") | responses(422, 503),
)
async def get_events(
    request: Request,
    service: EventServiceDep,
    wanted: EventFilterDep,
    after: AfterQuery = 0,
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="Events per page.")
    ] = 10,
) -> Response:
    """Your events, oldest first, as CloudEvents. `Link` names the next page.

    The last page has events, too: there may be more by the time you ask. An empty page
    has no `Link`: ask again with the same `after`.
    """
    most = request.app.state.settings.max_page_bytes
    events = await service.read(after or 0, limit, wanted, most)
    texts = (event.to_json(service.source) for event in events)
    answer = Response(f"[{','.join(texts)}]", media_type="application/json")
    if events:
        url = request.url.include_query_params(after=events[-1].sequence)
        answer.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return answer


@router.get(
    "/stream",
    dependencies=[requires(READ_EVENTS)],
    response_class=EventStreamResponse,
    responses=stream_example() | responses(404, 422, 503),
)
async def stream_events(request: Request, stream: EventStreamDep) -> Response:
    """Your events as they happen, as server-sent events, which `EventSource` reads.

    `id` is the event's `sequence`, `event` its `type`, `data` the CloudEvent. Without
    `after`, the stream begins now; with `task_id`, at the record's first event, and it
    ends after its last one (`record.succeeded`, `record.failed` or `record.deleted`).
    If you have that one already, the answer is 204.

    A stream that the API ends has a last event, `stream.closed`, whose `code` is
    `slow_client`, `shutting_down` or `time_limit`. Come back with `Last-Event-ID`, as
    browsers do: no event is missing, and none comes twice.

    **WebSocket**: `/api/v1/events/ws`, with the same parameters, sends each CloudEvent
    as one text message (subprotocol `cloudevents.json`). It closes with 1000 after the
    last event of a record, 1013 for a slow client, 1012 when you should come back at
    once. Pages cannot set `Authorization` there: they offer the subprotocol
    `bearer.<token>`, too.
    """
    if stream is None:
        return Response(status_code=204)
    if is_head(request):
        return Response(media_type=EventStreamResponse.media_type)
    return EventStreamResponse(stream)


@router.websocket("/ws", dependencies=[requires(READ_EVENTS), Depends(check_origin)])
async def stream_events_by_websocket(
    websocket: WebSocket, stream: EventStreamDep
) -> None:
    """The same over WebSocket."""
    await serve_websocket(websocket, stream)
