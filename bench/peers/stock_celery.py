"""Celery out of the box: its defaults, Redis for tasks and results, a call and one
commit for each task.

The worker keeps one RPC connection in each child: `celery -A bench.peers.stock_celery
worker`.
"""

import json
import os
from typing import Any

from celery import Celery
from sqlmodel import Session, create_engine, select

from bench.peers.kombu_rpc import PooledRpc
from bench.peers.rows import AMQP_URL, DATABASE_URL, PeerRecord, log

QUEUE = "data_queue"

celery = Celery(
    "stock", broker=os.environ["PEER_REDIS_URL"], backend=os.environ["PEER_REDIS_URL"]
)
engine = create_engine(DATABASE_URL.replace("+asyncpg", "+psycopg2"))
_pooled: PooledRpc | None = None


@celery.task
def process(task_id: str, payload: Any, description: str | None) -> None:
    """Call the data service, then store the outcome and two log rows."""
    body = json.dumps({"payload": payload, "description": description}).encode()
    outcome = _call(body)
    with Session(engine) as session:
        query = select(PeerRecord).where(PeerRecord.task_id == task_id)
        record = session.exec(query).one()
        record.task_status = "Success"
        record.outcome = outcome
        session.add(log(task_id, "start"))
        session.add(log(task_id, "end"))
        session.commit()


def _call(body: bytes) -> Any:
    global _pooled
    _pooled = _pooled or PooledRpc(AMQP_URL)  # one for each child
    return _pooled(QUEUE, body)
