"""rabbitmq/entrypoint.sh makes a user for each permission of definitions.json."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.registry import registered

FOLDER = Path(__file__).parents[2] / "rabbitmq"
SERVICES = {f"{name.upper()}_RABBITMQ_PASSWORD": f"of-{name}" for name in registered()}
GIVEN = {
    "RABBITMQ_DEFAULT_USER": 'sh"op',
    "RABBITMQ_DEFAULT_PASS": "a&b\\c",
    "MONITORING_RABBITMQ_PASSWORD": "m",
    **SERVICES,
}


def write(
    tmp_path: Path, variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    definitions = str(FOLDER / "definitions.json")
    return subprocess.run(
        [str(FOLDER / "entrypoint.sh"), "definitions", str(tmp_path / "made.json")],
        env={"PATH": os.environ["PATH"], "RABBITMQ_DEFINITIONS": definitions}
        | variables,
        capture_output=True,
        text=True,
    )


def made(tmp_path: Path, variables: dict[str, str]) -> Any:
    result = write(tmp_path, variables)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "made.json").stat().st_mode & 0o777 == 0o600
    return json.loads((tmp_path / "made.json").read_text())


def test_each_role_has_a_user(tmp_path: Path) -> None:
    found = made(tmp_path, GIVEN)
    users = {user["name"]: (user["password"], user["tags"]) for user in found["users"]}
    expected = {'sh"op': ("a&b\\c", ""), "monitoring": ("m", "monitoring")}
    assert users == expected | {name: (f"of-{name}", "") for name in registered()}
    assert {each["user"] for each in found["permissions"]} == set(users)
    own = json.loads((FOLDER / "definitions.json").read_text())
    assert found["queues"] == own["queues"]


def test_who_reads_figures_reads_no_message() -> None:
    found = json.loads((FOLDER / "definitions.json").read_text())["permissions"]
    (own,) = (each for each in found if each["user"] == "monitoring")
    assert {own["configure"], own["write"], own["read"]} == {"^$"}


@pytest.mark.parametrize("name", ["enabled_plugins", "rabbitmq-cluster-plugins"])
def test_its_figures_can_be_read(name: str) -> None:
    """At the ports that our services and manifests name."""
    plugins = (FOLDER / name).read_text().strip("[].\n").split(",")
    assert {"rabbitmq_management", "rabbitmq_prometheus"} <= {*plugins}
    # Each is one more way in.
    assert {*plugins} <= {
        *("rabbitmq_management", "rabbitmq_prometheus", "rabbitmq_peer_discovery_k8s")
    }


def test_an_administrator_is_added_for_people(tmp_path: Path) -> None:
    admin = {"RABBITMQ_MANAGEMENT_USER": "ada", "RABBITMQ_MANAGEMENT_PASS": "p"}
    found = made(tmp_path, GIVEN | admin)
    assert {"name": "ada", "password": "p", "tags": "administrator"} in found["users"]
    (own,) = (each for each in found["permissions"] if each["user"] == "ada")
    assert own["configure"] == own["write"] == own["read"] == ".*"


def test_passwords_come_from_files(tmp_path: Path) -> None:
    folder = tmp_path / "users"
    folder.mkdir()
    for name in ("api", "monitoring", *registered()):
        (folder / name).write_text(f"file-{name}")
    login = {"RABBITMQ_DEFAULT_USER": "api", "RABBITMQ_PASSWORD_FOLDER": str(folder)}
    file = {"RABBITMQ_DEFAULT_PASS_FILE": str(folder / "api")}
    users = made(tmp_path, login | file)["users"]
    assert all(user["password"] == f"file-{user['name']}" for user in users)


@pytest.mark.parametrize(
    "missing", ["RABBITMQ_DEFAULT_PASS", "MONITORING_RABBITMQ_PASSWORD", *SERVICES]
)
def test_a_missing_password_stops_the_start(tmp_path: Path, missing: str) -> None:
    given = {name: value for name, value in GIVEN.items() if name != missing}
    result = write(tmp_path, given)
    assert result.returncode == 1 and missing in result.stderr
    assert not (tmp_path / "made.json").exists()


def test_no_process_of_the_broker_inherits_a_password(tmp_path: Path) -> None:
    """Plugins and diagnostics show the environment."""
    image = tmp_path / "docker-entrypoint.sh"
    image.write_text('#!/bin/sh\nexec "$@"\n')
    image.chmod(0o755)
    secrets = GIVEN | {
        "RABBITMQ_MANAGEMENT_USER": "ada",
        "RABBITMQ_MANAGEMENT_PASS": "of-ada",
        "ERLANG_COOKIE": "of-nodes",
    }
    given = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "RABBITMQ_DEFINITIONS": str(FOLDER / "definitions.json"),
        "KEPT": "1",
    }
    result = subprocess.run(
        [str(FOLDER / "entrypoint.sh"), "printenv"],
        env=given | secrets,
        capture_output=True,
        text=True,
    )
    inherited = {line.partition("=")[0] for line in result.stdout.splitlines()}
    assert "KEPT" in inherited and not inherited & set(secrets)


def test_the_broker_imports_what_is_written() -> None:
    lines = (FOLDER / "rabbitmq.conf").read_text().splitlines()
    (file,) = re.findall(
        r"write_definitions (/\S+)$", (FOLDER / "entrypoint.sh").read_text(), re.M
    )
    assert f"load_definitions = {file}" in lines
    assert "loopback_users = none" in lines


def test_nodes_of_a_cluster_share_a_cookie_that_nobody_else_reads(
    tmp_path: Path,
) -> None:
    """It is the one of this start, though Erlang made another before."""
    image = tmp_path / "docker-entrypoint.sh"
    image.write_text("#!/bin/sh\n")
    image.chmod(0o755)
    script = (FOLDER / "entrypoint.sh").read_text()
    own = script.replace("/tmp/definitions.json", str(tmp_path / "made.json"))
    for cookie in ("of-nodes", "of-later"):
        subprocess.run(
            ["bash", "-c", own, "entrypoint.sh", "rabbitmq-server"],
            env=GIVEN
            | {
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "RABBITMQ_DEFINITIONS": str(FOLDER / "definitions.json"),
                "ERLANG_COOKIE": cookie,
            },
            check=True,
        )
        file = tmp_path / ".erlang.cookie"
        assert file.read_text() == cookie
        assert file.stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "made.json").exists()
