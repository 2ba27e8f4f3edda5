"""A RabbitMQ node 0 without data joins the others, if they live."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.kubernetes.manifests import ROOT, workload

# Stands for `timeout 3 bash -c "exec 3<>/dev/tcp/..."`: no such host resolves here.
TIMEOUT = """#!/bin/sh
case "$*" in *"/dev/tcp/$ALIVE/5672") exit 0 ;; esac
exit 1
"""
ONE = "rabbitmq-1.rabbitmq-nodes.shop"
TWO = "rabbitmq-2.rabbitmq-nodes.shop"


@pytest.mark.parametrize(
    ("pod", "has_data", "alive", "joined"),
    [
        ("rabbitmq-0", False, ONE, ONE),
        ("rabbitmq-0", False, TWO, TWO),
        ("rabbitmq-0", False, "nobody", None),  # the first start of all
        ("rabbitmq-0", True, ONE, None),
        ("rabbitmq-1", False, TWO, None),  # it joins node 0
        ("rabbitmq-10", False, ONE, None),
    ],
)
def test_which_node_is_joined(
    tmp_path: Path, pod: str, has_data: bool, alive: str, joined: str | None
) -> None:
    stub = tmp_path / "timeout"
    stub.write_text(TIMEOUT)
    stub.chmod(0o755)
    if has_data:
        (tmp_path / "mnesia").mkdir()
    path = f"{tmp_path}:{os.environ['PATH']}"
    said = subprocess.check_output(
        ["bash", str(ROOT / "rabbitmq/seed.sh"), str(tmp_path)],
        env={"PATH": path, "POD_NAME": pod, "NAMESPACE": "shop", "ALIVE": alive},
        text=True,
    )
    found = [line for line in said.splitlines() if not line.startswith("#")]
    setting = "cluster_formation.k8s.seed_node = rabbit@"
    assert found == ([f"{setting}{joined}"] if joined else [])


def test_the_node_reads_what_the_script_printed() -> None:
    found = workload("rabbitmq")
    (first,) = found.pod["initContainers"]
    assert first["command"][-1].endswith(
        "bash /config/seed.sh /var/lib/rabbitmq >/seed/35-seed.conf"
    )
    mounts = {each["mountPath"]: each for each in found.main["volumeMounts"]}
    mount = mounts["/etc/rabbitmq/conf.d/35-seed.conf"]
    assert (mount["name"], mount["subPath"]) == ("seed", "35-seed.conf")
    name = found.environment()["RABBITMQ_NODENAME"]
    assert name == "rabbit@$(POD_NAME).rabbitmq-nodes.$(NAMESPACE)"
