"""The metrics that processes report, and the labels that tell their points apart."""

# Name, unit and kind, by the process that reports it.
METRICS = {
    "api": {
        ("http.server.request.duration", "s", "histogram"),
        ("http.server.active_requests", "{request}", "sum"),
        ("rpc.client.call.duration", "s", "histogram"),
        ("rpc.client.active_calls", "{call}", "sum"),
        ("app.rpc.broker.available", "", "gauge"),
        ("app.group_commit.batch.size", "{request}", "histogram"),
        ("app.idempotency.requests", "{request}", "sum"),
        ("app.events.streams", "{stream}", "sum"),
        ("app.event_loop.lag", "s", "histogram"),
        ("db.client.connection.count", "{connection}", "sum"),
        ("process.cpu.time", "s", "sum"),
        ("process.memory.usage", "By", "sum"),
    },
    "worker": {
        ("flower.task.runtime.seconds", "seconds", "histogram"),
        ("app.tasks.ended", "{task}", "sum"),
        ("rpc.client.call.duration", "s", "histogram"),
        ("rpc.client.active_calls", "{call}", "sum"),
        ("app.rpc.broker.available", "", "gauge"),
        ("db.client.connection.count", "{connection}", "sum"),
        ("process.cpu.time", "s", "sum"),
        ("process.memory.usage", "By", "sum"),
    },
    "beat": {
        ("rabbitmq.queue.messages", "{message}", "gauge"),
        ("rabbitmq.queue.consumers", "{consumer}", "gauge"),
        ("rabbitmq.queue.acknowledged", "{message}", "sum"),
        ("app.tasks.waiting", "{task}", "gauge"),
        ("app.events.waiting", "{event}", "gauge"),
        ("app.events.lag", "s", "gauge"),
    },
    "event-relay": {
        ("app.events.published", "{event}", "sum"),
        ("process.cpu.time", "s", "sum"),
        ("process.memory.usage", "By", "sum"),
    },
    "data": {
        ("messaging.process.duration", "s", "histogram"),
        ("app.rpc.queue.duration", "s", "histogram"),
        ("app.rpc.dead_letters", "{message}", "sum"),
    },
}

# Of those that a query may name.
LABELS = {
    "http.server.request.duration": {"http.route", "http.response.status_code"},
    "rpc.client.call.duration": {"error.type"},
    "app.idempotency.requests": {"app.idempotency.outcome"},
    "db.client.connection.count": {"service.name", "db.client.connection.state"},
    "process.cpu.time": {"service.name"},
    "process.memory.usage": {"service.name"},
    "flower.task.runtime.seconds": {"task"},
    "app.tasks.ended": {"app.task.status"},
    "rabbitmq.queue.messages": {"messaging.destination.name", "rabbitmq.message.state"},
    "rabbitmq.queue.consumers": {"messaging.destination.name"},
    "rabbitmq.queue.acknowledged": {"messaging.destination.name"},
    "app.tasks.waiting": {"messaging.destination.name"},
    "app.events.published": {"app.event.type"},
    "app.rpc.dead_letters": {"error.type"},
    "app.sweep.lost_tasks": {"app.sweep.outcome"},
}

# Calls have this label when they failed, and the sweep reports nothing while it finds
# nothing.
SELDOM = {"rpc.client.call.duration", "app.sweep.lost_tasks"}
