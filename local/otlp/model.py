"""The contents of OTLP messages, as plain values."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Self

from google.protobuf.json_format import MessageToDict

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
ERROR = 2

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Span:
    """One span. `parent` is "" for a root; times are nanoseconds of Unix time."""

    trace: str
    id: str
    parent: str
    name: str
    kind: str
    service: str
    instance: str
    start: int
    end: int
    failed: bool
    attributes: Attributes
    links: list[tuple[str, str]]

    @property
    def milliseconds(self) -> float:
        """Its duration."""
        return (self.end - self.start) / 1e6

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The span from one JSON line."""
        return cls(**json.loads(line))


@dataclass(frozen=True)
class Metric:
    """One metric of one export; each point has its `attributes` and its values."""

    name: str
    unit: str
    kind: str
    service: str
    instance: str
    points: list[dict[str, Any]]


@dataclass(frozen=True)
class Log:
    """One log record; ids are "" where it belongs to no span."""

    body: str
    severity: str
    service: str
    trace: str
    span: str
    attributes: Attributes


def spans(request: Any) -> Iterator[Span]:
    """The spans of an ExportTraceServiceRequest."""
    for group in request.resource_spans:
        resource = attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Span(
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    name=span.name,
                    kind=KINDS[span.kind],
                    service=resource.get("service.name", "?"),
                    instance=resource.get("service.instance.id", "?"),
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    failed=span.status.code == ERROR,
                    attributes=attributes(span.attributes),
                    links=[(x.trace_id.hex(), x.span_id.hex()) for x in span.links],
                )


def metrics(request: Any) -> Iterator[Metric]:
    """The metrics of an ExportMetricsServiceRequest."""
    for group in request.resource_metrics:
        resource = attributes(group.resource.attributes)
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                points = []
                for point in getattr(metric, kind).data_points:
                    values = MessageToDict(point)
                    values["attributes"] = attributes(point.attributes)
                    points.append(values)
                yield Metric(
                    metric.name,
                    metric.unit,
                    kind,
                    resource.get("service.name", "?"),
                    resource.get("service.instance.id", "?"),
                    points,
                )


def logs(request: Any) -> Iterator[Log]:
    """The records of an ExportLogsServiceRequest."""
    for group in request.resource_logs:
        resource = attributes(group.resource.attributes)
        for scope in group.scope_logs:
            for record in scope.log_records:
                yield Log(
                    record.body.string_value,
                    record.severity_text,
                    resource.get("service.name", "?"),
                    record.trace_id.hex(),
                    record.span_id.hex(),
                    attributes(record.attributes),
                )


def resources(request: Any) -> list[Attributes]:
    """The resources of any of the three."""
    for field in ("resource_spans", "resource_metrics", "resource_logs"):
        if hasattr(request, field):
            groups = getattr(request, field)
            return [attributes(group.resource.attributes) for group in groups]
    return []


def attributes(pairs: Iterable[Any]) -> Attributes:
    """Attributes as a dict of plain values."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    if kind == "array_value":
        return [_value(item) for item in content.values]
    return content
