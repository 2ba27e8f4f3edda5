"""Models of requests and answers. Their examples appear in the documentation."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

OUTCOME = {
    "status": "success",
    "processed_at": "2026-01-01T12:00:00.010000+00:00",
    "input": "hello world",
    "output": "HELLO WORLD",
    "metadata": {
        "input_length": 11,
        "operation": "uppercase",
        "processing_time_ms": 0.02,
    },
}
TASK_ID = "4f214618-ff05-47bd-b7b7-0c3270b8de88"


def example(**fields: Any) -> ConfigDict:
    """A model configuration with an example."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class TaskStatus(StrEnum):
    """The three states that clients see."""

    PROCESSING = "Processing"
    SUCCESS = "Success"
    FAILURE = "Failure"


class DataRequest(BaseModel):
    """Data to process, and the operation to apply."""

    # Infinity and NaN must be refused, not silently become null.
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants") | example(
        payload="hello world", description="uppercase"
    )

    payload: Any = Field(description="Any JSON value.")
    description: str | None = Field(
        None,
        max_length=255,
        description="Name of an operation, case-insensitive: `uppercase`, `reverse`, "
        "`square`, `double`, `sort`. Any other text selects the default "
        "operation for the payload's type.",
    )


class Priority(StrEnum):
    """The order in which workers take waiting tasks."""

    HIGH = "high"
    DEFAULT = "default"
    LOW = "low"


class AsyncDataRequest(DataRequest):
    """Data to process later, and its urgency."""

    model_config = example(payload=[3, 1, 2], description="sort", priority="high")

    priority: Priority = Priority.DEFAULT


class TaskResult(BaseModel):
    """The state of a piece of work, and its outcome when there is one."""

    model_config = example(task_id="-", task_status="Success", outcome=OUTCOME)

    task_id: str = Field(
        description="`-` for synchronous work, otherwise the id of the work."
    )
    task_status: TaskStatus
    outcome: Any = Field(
        None, description="The service's answer; null until there is one."
    )


class TaskState(TaskResult):
    """The state of accepted work, with more detail while it is in progress."""

    model_config = example(task_id=TASK_ID, task_status="Success", outcome=OUTCOME)

    detail: str | None = Field(
        None,
        description="While `Processing`: `queued`, `started` or `retrying`, as far as "
        "Redis tells.",
    )


class Record(BaseModel):
    """A stored request with its outcome."""

    model_config = ConfigDict(from_attributes=True) | example(
        id=1,
        task_id=TASK_ID,
        queue_name="data_queue",
        owner="alice",
        payload="hello world",
        description="uppercase",
        task_type="string",
        task_status="Success",
        outcome=OUTCOME,
        created_at="2026-01-01T12:00:00Z",
        updated_at="2026-01-01T12:00:00.012000Z",
    )

    id: int
    task_id: str
    queue_name: str | None = Field(
        description="Queue of the service; null in records of an older version, which "
        "are all of the service named `data`."
    )
    owner: str | None = Field(
        description="Who made the request; null without authentication."
    )
    payload: Any
    description: str | None
    task_type: str | None
    task_status: TaskStatus
    outcome: Any
    created_at: datetime
    updated_at: datetime


class CloudEvent(BaseModel):
    """What happened to a record, or another subject (CloudEvents 1.0)."""

    model_config = example(
        specversion="1.0",
        id="0b0f3c5e-7d0e-4c3e-9a59-6f1f6c1b7a10",
        source="/fastapi-starter",
        type="record.deleted",
        subject=TASK_ID,
        time="2026-01-01T12:00:00.012000+00:00",
        sequence="801112064",
        datacontenttype="application/json",
        correlationid="order-1/attempt-2",
        owner="alice",
        actor="alice",
        data={"id": 1, "task_id": TASK_ID, "queue_name": "data_queue"},
    )

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str = Field(description="The thing, then what happened to it.")
    subject: str = Field(description="The id of the thing: of a record, its task id.")
    time: datetime
    sequence: str = Field(
        pattern="^[0-9]+$",
        description="Its place in the log: later events have higher numbers.",
    )
    datacontenttype: Literal["application/json"]
    correlationid: str | None = Field(
        None, description="The `X-Request-ID` of the request that caused it."
    )
    traceparent: str | None = None
    owner: str | None = Field(None, description="Who may see it, besides admins.")
    actor: str | None = Field(None, description="Who caused it.")
    data: Any = Field(description="Of a record, its row at that time.")


class Log(BaseModel):
    """The start or end of one call to a service."""

    model_config = ConfigDict(from_attributes=True) | example(
        id=2,
        task_id=TASK_ID,
        correlation_id="order-1/attempt-2",
        queue_name="data_queue",
        service_name="data",
        owner="alice",
        task_type="string",
        description="uppercase",
        status="end",
        created_at="2026-01-01T12:00:00.011000Z",
    )

    id: int
    task_id: str
    correlation_id: str
    queue_name: str
    service_name: str
    owner: str | None
    task_type: str | None
    description: str | None
    status: str
    created_at: datetime


class QueueDepth(BaseModel):
    """Messages in one queue."""

    messages: int
    messages_ready: int
    messages_unacknowledged: int


class RpcLatency(BaseModel):
    """Seconds from request to answer, over this process's latest calls."""

    count: int = Field(description="Calls answered since the process started.")
    avg: float | None
    p50: float | None
    p95: float | None


class RpcMetrics(BaseModel):
    """Calls of this process."""

    latency: RpcLatency
    timeouts_total: int
    in_flight: int


class Metrics(BaseModel):
    """Metrics for tuning backpressure."""

    model_config = example(
        instance="api-1:17",
        queues={
            "data_queue": {
                "messages": 3,
                "messages_ready": 1,
                "messages_unacknowledged": 2,
            },
            "data_queue_dlq": {
                "messages": 0,
                "messages_ready": 0,
                "messages_unacknowledged": 0,
            },
        },
        queues_error=None,
        rpc={
            "latency": {"count": 250, "avg": 0.0031, "p50": 0.0029, "p95": 0.0035},
            "timeouts_total": 0,
            "in_flight": 2,
        },
    )

    instance: str = Field(description="The API process that reports these RPC metrics.")
    queues: dict[str, QueueDepth | None] | None = Field(
        description="Depth of each queue; null for a queue that does not exist. The "
        "whole field is null when the management API does not answer."
    )
    queues_error: str | None = None
    rpc: RpcMetrics


class DependencyState(BaseModel):
    """A dependency of the API, or a service that it calls."""

    status: str = Field(description="`up` or `down`.")
    detail: str | None = Field(
        None, description="Why it is down, or why its state is unknown."
    )


class Health(BaseModel):
    """Whether the API can do its main job, and the state of each dependency."""

    model_config = example(
        status="degraded",
        dependencies={
            "postgresql": {"status": "up", "detail": None},
            "rabbitmq": {"status": "up", "detail": None},
            "redis": {"status": "down", "detail": "no answer"},
            "pricing-service": {"status": "up", "detail": None},
        },
    )

    status: str = Field(description="`ok`, `degraded` or `unavailable`.")
    dependencies: dict[str, DependencyState]


class Problem(BaseModel):
    """An error, as `application/problem+json` (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, Any]] | None = Field(
        None, description="Each invalid value: its place, and what is wrong."
    )
