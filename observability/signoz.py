"""Dashboard and alerts for SigNoz, as code: `python3 -m observability.signoz`.

The queries are PromQL. Names are OpenTelemetry's own, with dots and therefore in
quotes; the tests compare them with what the processes really send.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
RUNBOOK = "docs/RUNBOOK.md"


class Panel(NamedTuple):
    """One graph; `unit` is one of SigNoz's."""

    title: str
    unit: str
    query: str


class Alert(NamedTuple):
    """Fires while the query is above `above` for five minutes; `runbook` is a heading
    of the runbook."""

    name: str
    query: str
    above: float
    severity: str
    runbook: str


def total(metric: str, by: str = "", where: str = "", per: str = "5m") -> str:
    """Events per second."""
    group = f'by ("{by}") ' if by else ""
    selector = f", {where}" if where else ""
    return f'sum {group}(rate({{"{metric}"{selector}}}[{per}]))'


def quantile(q: float, metric: str, by: str = "") -> str:
    """A percentile of a histogram."""
    group = f'le, "{by}"' if by else "le"
    return (
        f"histogram_quantile({q}, "
        f'sum by ({group}) (rate({{"{metric}.bucket"}}[5m])))'
    )


def latest(metric: str, by: str, where: str = "") -> str:
    """The value now."""
    selector = f", {where}" if where else ""
    return f'max by ("{by}") ({{"{metric}"{selector}}})'


HTTP = "http.server.request.duration"
RPC = "rpc.client.call.duration"
# OpenTelemetry's instrumentation of Celery records this; its buckets are useless for
# seconds.
TASK_TIME = "flower.task.runtime.seconds"
ENDED = "app.tasks.ended"
QUEUE = "messaging.destination.name"
BACKLOG = latest("rabbitmq.queue.messages", QUEUE, '"rabbitmq.message.state"="ready"')
DEAD = latest("rabbitmq.queue.messages", QUEUE, f'"{QUEUE}"=~".*_dlq"')
CONSUMERS = latest("rabbitmq.queue.consumers", QUEUE, f'"{QUEUE}"!~".*_dlq"')
PUBLISHED = "app.events.published"
LAG = 'max ({"app.events.lag"})'
POOL = "db.client.connection.count"
POOL_BY = '"service.name", "db.client.connection.state"'
FAILED = '"http.response.status_code"=~"5.."'
TIMEOUTS = total(f"{RPC}.count", where='"error.type"="deadline_exceeded"')
FAILED_TASKS = total(ENDED, where='"app.task.status"="Failure"')

PANELS = [
    Panel("Requests by route", "reqps", total(f"{HTTP}.count", "http.route")),
    Panel(
        "Errors (5xx) by route",
        "reqps",
        total(f"{HTTP}.count", "http.route", FAILED),
    ),
    Panel("p95 by route", "s", quantile(0.95, HTTP, "http.route")),
    Panel("Requests in flight", "none", 'sum({"http.server.active_requests"})'),
    Panel("RPC p50", "s", quantile(0.5, RPC)),
    Panel("RPC p95", "s", quantile(0.95, RPC)),
    Panel(
        "RPC failures by type",
        "reqps",
        total(f"{RPC}.count", "error.type", '"error.type"!=""'),
    ),
    Panel("RPC in flight", "none", 'sum({"rpc.client.active_calls"})'),
    Panel("Wait in the queue, p95", "s", quantile(0.95, "app.rpc.queue.duration")),
    Panel("Messages ready", "none", BACKLOG),
    Panel("Consumers", "none", latest("rabbitmq.queue.consumers", QUEUE)),
    Panel(
        "Messages acknowledged",
        "cps",
        total("rabbitmq.queue.acknowledged", QUEUE),
    ),
    Panel(
        "Dead letters by reason",
        "cps",
        total("app.rpc.dead_letters", "error.type"),
    ),
    Panel("Tasks ended by status", "cps", total(ENDED, "app.task.status")),
    Panel(
        "Mean time of a run",
        "s",
        f'{total(f"{TASK_TIME}.sum", "task")} / {total(f"{TASK_TIME}.count", "task")}',
    ),
    Panel("Tasks waiting", "none", latest("app.tasks.waiting", QUEUE)),
    Panel("Events published", "cps", total(PUBLISHED, "app.event.type")),
    Panel("Events waiting", "none", 'max ({"app.events.waiting"})'),
    Panel("Age of the oldest event waiting", "s", LAG),
    Panel(
        "Lost tasks found by the sweep",
        "cps",
        total("app.sweep.lost_tasks", "app.sweep.outcome"),
    ),
    Panel(
        "Requests in one commit, p95",
        "none",
        quantile(0.95, "app.group_commit.batch.size"),
    ),
    Panel(
        "Idempotency keys",
        "cps",
        total("app.idempotency.requests", "app.idempotency.outcome"),
    ),
    Panel(
        "Database connections",
        "none",
        f'sum by ({POOL_BY}) ({{"{POOL}"}})',
    ),
    Panel("Event-loop lag, p95", "s", quantile(0.95, "app.event_loop.lag")),
    Panel(
        "Processor",
        "percentunit",
        total("process.cpu.time", "service.name"),
    ),
    Panel(
        "Memory",
        "bytes",
        'sum by ("service.name") ({"process.memory.usage"})',
    ),
]

ALERTS = [
    Alert(
        "Many requests fail",
        f'{total(f"{HTTP}.count", where=FAILED)} / {total(f"{HTTP}.count")}',
        0.02,
        "critical",
        "Many requests fail",
    ),
    Alert("Requests are slow", quantile(0.95, HTTP), 2, "warning", "Requests are slow"),
    Alert("Calls time out", TIMEOUTS, 0.1, "critical", "Calls time out"),
    Alert("The queue grows", BACKLOG, 1000, "warning", "The queue grows"),
    Alert("Dead letters", DEAD, 0, "warning", "Dead letters"),
    Alert(
        "No consumer",
        f"1 - {CONSUMERS}",
        0,
        "critical",
        "No consumer",
    ),
    Alert("Tasks fail", FAILED_TASKS, 0.05, "warning", "Tasks fail"),
    Alert(
        "Tasks pile up",
        latest("app.tasks.waiting", QUEUE),
        1000,
        "warning",
        "Tasks pile up",
    ),
    Alert(
        "Tasks get lost", total("app.sweep.lost_tasks"), 0, "warning", "Tasks get lost"
    ),
    Alert("Events are late", LAG, 30, "critical", "Events are late"),
    Alert(
        "The event loop is blocked",
        quantile(0.95, "app.event_loop.lag"),
        0.25,
        "warning",
        "The event loop is blocked",
    ),
]


def dashboard() -> dict[str, Any]:
    """The JSON for "New dashboard, Import JSON"."""
    widgets = [
        {
            "id": f"panel-{number}",
            "title": panel.title,
            "panelTypes": "graph",
            "yAxisUnit": panel.unit,
            "query": _query(panel.query),
        }
        for number, panel in enumerate(PANELS)
    ]
    layout = [
        {"i": w["id"], "x": 4 * (n % 3), "y": 6 * (n // 3), "w": 4, "h": 6}
        for n, w in enumerate(widgets)
    ]
    return {
        "title": "FastAPI microservices starter",
        "description": "Written by observability/signoz.py; change that.",
        "tags": [],
        "version": "v5",
        "layout": layout,
        "widgets": widgets,
        "variables": {},
    }


def alerts() -> list[dict[str, Any]]:
    """The body of a `POST /api/v1/rules` to SigNoz for each alert."""
    return [
        {
            "alert": alert.name,
            "alertType": "METRIC_BASED_ALERT",
            "ruleType": "promql_rule",
            "evalWindow": "5m0s",
            "frequency": "1m0s",
            "condition": {
                "compositeQuery": {
                    "queryType": "promql",
                    "panelType": "graph",
                    "promQueries": {"A": {"query": alert.query, "disabled": False}},
                },
                "op": "1",  # above
                "matchType": "2",  # all the time
                "target": alert.above,
                "selectedQueryName": "A",
            },
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": alert.name,
                "description": f"{RUNBOOK}#{alert.runbook.lower().replace(' ', '-')}",
            },
        }
        for alert in ALERTS
    ]


def _query(text: str) -> dict[str, Any]:
    # SigNoz puts the values of its labels into the name of a line.
    group = re.search(r"\bby \(([^)]*)\)", text)
    labels = re.findall(r'"([^"]+)"', group[1]) if group else []
    legend = " ".join(f"{{{{{label}}}}}" for label in labels)
    return {
        "queryType": "promql",
        "promql": [{"name": "A", "query": text, "legend": legend, "disabled": False}],
    }


def files() -> dict[Path, str]:
    """The files to import, with their text."""
    return {
        FOLDER / "signoz-dashboard.json": json.dumps(dashboard(), indent=2) + "\n",
        FOLDER / "signoz-alerts.json": json.dumps(alerts(), indent=2) + "\n",
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
