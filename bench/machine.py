"""Describes the machine of a run."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from bench.load import generator
from bench.setting import Setting
from local.servers.nginx import find_binary

PACKAGES = (
    ("FastAPI", "fastapi"),
    ("uvicorn", "uvicorn"),
    ("kombu", "kombu"),
    ("Celery", "celery"),
    ("SQLAlchemy", "sqlalchemy"),
    ("asyncpg", "asyncpg"),
    ("FastStream", "faststream"),
    ("aio-pika", "aio-pika"),
)


def describe(setting: Setting) -> dict[str, str]:
    """Names and values, for people."""
    memory = psutil.virtual_memory().total / 2**30
    return {
        "Processor": f"{len(os.sched_getaffinity(0))} cores, {_processor()}",
        "Memory": f"{memory:.0f} GiB",
        "System": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Packages": ", ".join(f"{name} {version(key)}" for name, key in PACKAGES),
        "Servers": ", ".join(_servers(setting)),
        "Load generator": f"{generator()}, on the same cores",
        "Load before the run": f"{os.getloadavg()[0]:.1f} over the last minute",
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    found = re.search(r"model name\s*:\s*(.+)", text)
    return found[1] if found else platform.machine()


def _servers(setting: Setting) -> list[str]:
    with setting.rabbitmq.connect() as connection_to_broker:
        broker: Any = connection_to_broker  # its stubs leave the properties out
        rabbitmq = broker.server_properties["version"]
    url = setting.servers.postgres.url().replace("+psycopg2", "")
    connection = psycopg2.connect(url)
    number = connection.server_version
    connection.close()
    with setting.servers.redis.connect() as client:
        redis = client.info("server")["redis_version"]
    servers = [
        f"RabbitMQ {rabbitmq}",
        f"PostgreSQL {number // 10000}.{number % 10000} (fsync on)",
        f"Redis {redis} (append-only)",
    ]
    if nginx := find_binary():
        words = subprocess.run([nginx, "-v"], capture_output=True, text=True).stderr
        servers.append(words.strip().rpartition(" ")[2].replace("/", " "))
    return servers
