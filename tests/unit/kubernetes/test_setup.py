"""kubectl-setup.sh, against a kubectl that records its calls."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.passwords import ROLE
from local.registry import registered
from tests.unit.kubernetes.cluster import GATEWAY, KEDA, NOTHING, OPENSHIFT, Cluster, ok
from tests.unit.kubernetes.manifests import ROOT, SERVICES, rendered

SCRIPTS = ("kubectl-setup.sh", "kubectl-remove.sh")


def scalers(kind: str) -> set[str]:
    """Those of a kind that services and the worker have."""
    return {f"{kind}/{name}" for name in (*SERVICES, "fastapi-celery-worker")}


def test_the_scripts_are_clean() -> None:
    files = [
        *SCRIPTS,
        *(f"deploy/{name}.sh" for name in ("lib", "secrets", "identity")),
    ]
    shellcheck = Path(sys.executable).with_name("shellcheck")
    result = subprocess.run(
        [str(shellcheck), "-x", *files], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout


def test_the_first_run_goes_step_by_step(cluster: Cluster) -> None:
    ok(cluster.setup())
    steps = [
        r"^get --raw /version",
        r"^create namespace fastapi-starter",
        r"^label namespace .*enforce=restricted",
        r"^create secret generic rabbitmq-credentials",
        r"^apply -f .*/first.yaml",
        r"^rollout status statefulset/rabbitmq",
        r"^rollout status statefulset/postgres",
        r"^rollout status statefulset/redis --",
        r"^delete job fastapi-migrations",
        r"^apply -f .*/migration.yaml",
        r"^get job fastapi-migrations",
        r"^apply -f .*/application.yaml",
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
    first = cluster.setup()
    made = cluster.secrets()
    calls = cluster.said
    second = cluster.setup()
    assert cluster.secrets() == made
    assert not [call for call in cluster.said if call.startswith("create")]
    values = [value for data in made.values() for value in data.values()]
    values = [value for value in values if re.search("[0-9a-f]{48}", value)]
    assert len(values) >= 12
    for value in values:
        hidden = re.findall("[0-9a-f]{48}", value)[0]
        for text in (ok(first), first.stdout, ok(second), second.stdout, *calls):
            assert hidden not in text
    assert not list((ROOT / ".local").glob("deploy.*"))


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


def test_a_second_run_changes_nothing(cluster: Cluster) -> None:
    ok(cluster.setup())
    before = dict(cluster.objects)
    result = cluster.setup()
    ok(result)
    assert cluster.objects == before
    # The job was deleted and made again: Jobs cannot be changed.
    assert "created" not in result.stdout.replace("job/fastapi-migrations created", "")


@pytest.mark.parametrize(
    ("step", "explained"),
    [
        ("create secret generic redis", False),
        ("apply -f .*first", False),
        ("rollout status statefulset/rabbitmq", True),
        ("apply -f .*migration", False),
        ("rollout status deployment/fastapi-api", True),
    ],
)
def test_after_a_failure_half_way_the_next_run_goes_on(
    cluster: Cluster, step: str, explained: bool
) -> None:
    cluster.fail = step
    result = cluster.setup()
    assert result.returncode != 0
    cluster.fail = NOTHING
    kept = cluster.secrets()
    if explained:
        name = step.rpartition("/")[2]
        assert (
            f"error: {name} did not become ready; fix the cause and run this again"
            in result.stderr
        )
        assert cluster.place(rf"^logs -l app.kubernetes.io/name={name} ")
        assert cluster.place(r"^describe pods -l ")
    ok(cluster.setup())
    assert kept.items() <= cluster.secrets().items()
    assert len(cluster.secrets()) == 5
    assert "deployment/nginx" in cluster.objects


def test_a_failed_migration_stops_before_the_application(cluster: Cluster) -> None:
    cluster.job = "Failed"
    result = cluster.setup()
    assert result.returncode == 1
    assert "the migration did not complete (Failed)" in result.stderr
    assert cluster.place("^logs -l app.kubernetes.io/name=fastapi-migrations")
    assert "deployment/fastapi-api" not in cluster.objects
    cluster.job = "Complete"
    ok(cluster.setup())


def test_back_to_an_older_version_without_its_migrations(cluster: Cluster) -> None:
    ok(cluster.setup("--tag", "1.5.0"))
    ok(cluster.setup("--tag", "1.4.0", "--no-migration"))
    steps = ("fastapi-migrations", "migration.yaml")
    assert not [c for c in cluster.said if any(step in c for step in steps)]
    api = cluster.objects["deployment/fastapi-api"]["object"]
    image = api["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "fastapi-starter-api:1.4.0"


def test_options_reach_the_manifests(cluster: Cluster, urls: list[str]) -> None:
    options = (
        "--namespace",
        "shop",
        "--tag",
        "1.2.3",
        "--registry",
        "reg.example.org/",
    )
    cluster.crds = KEDA
    ok(cluster.setup(*urls, *options, "--host", "shop.example.org"))
    objects = [value.get("object", {}) for value in cluster.objects.values()]
    text = json.dumps(objects)
    assert "fastapi-starter-api:0.1.0" not in text
    for image in ("fastapi-starter-api", *SERVICES, "rabbitmq-service"):
        assert f'"reg.example.org/{image}:1.2.3"' in text
    assert all(each["metadata"]["namespace"] == "shop" for each in objects if each)
    (ingress,) = (each for each in objects if each.get("kind") == "Ingress")
    assert ingress["spec"]["rules"][0]["host"] == "shop.example.org"
    assert ingress["spec"]["tls"][0]["hosts"] == ["shop.example.org"]
    assert scalers("scaledobject") <= set(cluster.objects)
    assert "statefulset/postgres" not in cluster.objects


def test_every_workload_gets_the_managed_servers(
    cluster: Cluster, urls: list[str]
) -> None:
    cluster.crds = KEDA
    result = cluster.setup(*urls)
    assert "Sekret" not in ok(result) + result.stdout + "".join(cluster.said)
    made = cluster.secrets()
    assert made["database-credentials"]["url"].endswith("@pg.example.org/fastapi_db")
    assert made["redis-credentials"] == {
        "url": "rediss://default:Sekret2@redis.example.org:6390/0",
        "username": "default",
        "password": "Sekret2",
        "address": "redis.example.org:6390",
        "tls": "enable",
    }
    keys = made["redis-keys-credentials"]
    assert keys == {"url": "rediss://default:Sekret3@keys.example.org:6390/0"}
    # From now on they are there.
    cluster.crds = KEDA
    ok(cluster.setup("--environment", "production"))
    assert cluster.secrets() == made


def test_each_role_of_a_managed_server_has_its_login(
    cluster: Cluster, urls: list[str], tmp_path: Path
) -> None:
    cluster.crds = KEDA
    owner, keda = tmp_path / "owner", tmp_path / "keda"
    owner.write_text("postgresql://owner:Sekret4@pg.example.org/fastapi_db")
    keda.write_text("rediss://keda:Sekret5@redis.example.org:6390/0")
    more = ["--migrations-database-url-file", str(owner)]
    ok(cluster.setup(*urls, *more, "--redis-monitoring-url-file", str(keda)))
    made = cluster.secrets()
    assert made["database-credentials"]["migrations-url"] == owner.read_text()
    assert made["database-credentials"]["url"].startswith("postgresql+psycopg2://u:")
    redis = made["redis-credentials"]
    assert (redis["username"], redis["password"]) == ("keda", "Sekret5")
    assert redis["url"] == "rediss://default:Sekret2@redis.example.org:6390/0"


def test_secrets_of_the_previous_release_are_completed(cluster: Cluster) -> None:
    """With one user of RabbitMQ, and one role of PostgreSQL, which stays."""
    old = {"url": "postgresql+psycopg2://fastapi:x@postgres:5432/fastapi_db"}
    cluster.objects["secret/database-credentials"] = {"data": {**old, "password": "x"}}
    cluster.objects["secret/rabbitmq-credentials"] = {"data": {"username": "app"}}
    cluster.objects["secret/rabbitmq-users"] = {"data": {"api": "kept"}}
    for _ in range(2):
        result = cluster.setup()
        ok(result)
        made = cluster.secrets()
        assert made["database-credentials"]["migrations-url"] == old["url"]
        assert made["database-credentials"]["url"] == old["url"]
        assert made["rabbitmq-credentials"] == {"username": "app"}
        assert made["rabbitmq-users"]["api"] == "kept"
        assert {"monitoring", *registered()} <= made["rabbitmq-users"].keys()
    assert "completed" not in result.stderr
    # Processes of the previous release used it until the roll-out.
    assert cluster.place("^rollout status deployment/fastapi-api") < cluster.place(
        "^exec rabbitmq-0 .*delete_user app"
    )


ISSUER = {"AUTH_ISSUER": "https://id.example.org:8443/realms/a"}
IDENTITY = {**ISSUER, "AUTH_AUDIENCE": "it's ours", "AUTH_ALGORITHMS": '["ES256"]'}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "production needs an identity provider: set AUTH_ISSUER"),
        (ISSUER, "AUTH_AUDIENCE: name the audience"),
        ({"AUTH_ISSUER": "http://id"}, "AUTH_ISSUER must begin with https://"),
        ({**IDENTITY, "AUTH_DISABLED": "True"}, "remove AUTH_DISABLED"),
        ({**ISSUER, "AUTH_AUDIENCE": "a\nb"}, "AUTH_AUDIENCE must be one line"),
    ],
)
def test_production_needs_an_identity_provider(
    cluster: Cluster, urls: list[str], variables: dict[str, str], words: str
) -> None:
    cluster.variables = variables
    result = cluster.setup(*urls)
    assert result.returncode == 1 and words in result.stderr
    assert not cluster.objects


def test_the_api_gets_its_identity_provider(cluster: Cluster, urls: list[str]) -> None:
    cluster.variables = IDENTITY
    ok(cluster.setup(*urls))
    cluster.variables = {}
    ok(cluster.setup(*urls))  # the first run's are kept
    for key, each in cluster.objects.items():
        if key.startswith("configmap/backend-config"):
            assert IDENTITY.items() <= each["object"]["data"].items()
    policy = cluster.objects["networkpolicy/fastapi-api"]["object"]["spec"]
    (way,) = (e for e in policy["egress"] if "ipBlock" in e["to"][0])
    assert way["ports"] == [{"protocol": "TCP", "port": 8443}]
    # What is set later replaces all of them.
    cluster.variables = {"AUTH_DISABLED": "true"}
    ok(cluster.setup(*urls))
    assert cluster.secrets()["identity-settings"] == {"AUTH_DISABLED": "true"}
    policy = cluster.objects["networkpolicy/fastapi-api"]["object"]["spec"]
    assert not [e for e in policy["egress"] if "ipBlock" in e["to"][0]]


def rented(urls: list[str], redis: str) -> list[str]:
    """The options, with that URL of Redis."""
    Path(urls[urls.index("--redis-url-file") + 1]).write_text(f"{redis}\n")
    return urls


@pytest.mark.parametrize(
    ("url", "username", "password", "address", "tls", "database"),
    [
        ("redis://cache", "", "", "cache:6379", "disable", "0"),
        ("redis://:p%40s%2Fs@cache/2", "", "p@s/s", "cache:6379", "disable", "2"),
        ("rediss://u:p@cache:1?db=3", "u", "p", "cache:1", "enable", "3"),
        ("rediss://u@[::1]?ssl_cert_reqs=none", "u", "", "[::1]:6379", "enable", "0"),
    ],
)
def test_keda_gets_the_parts_of_any_url(
    cluster: Cluster,
    urls: list[str],
    url: str,
    username: str,
    password: str,
    address: str,
    tls: str,
    database: str,
) -> None:
    cluster.crds = KEDA
    ok(cluster.setup(*rented(urls, url)))
    secret = cluster.secrets()["redis-credentials"]
    names = ("username", "password", "address", "tls")
    assert [secret[name] for name in names] == [username, password, address, tls]
    for _ in range(2):  # a later run reads the secret
        scaled = cluster.objects["scaledobject/fastapi-celery-worker"]["object"]
        triggers = [t["metadata"] for t in scaled["spec"]["triggers"]][:3]
        assert {each["databaseIndex"] for each in triggers} == {database}
        assert [each["listName"] for each in triggers] == ["high", "default", "low"]
        ok(cluster.setup("--environment", "production"))


def test_the_port_of_redis_is_open_and_probed(
    cluster: Cluster, urls: list[str]
) -> None:
    ok(cluster.setup(*rented(urls, "rediss://cache:25061")))
    policy = cluster.objects["networkpolicy/external-servers"]["object"]
    ports = {each["port"] for each in policy["spec"]["egress"][0]["ports"]}
    assert ports == {5432, 6379, 25061, 6390}  # 6390: the Redis of keys
    (config,) = (
        each["object"]
        for key, each in cluster.objects.items()
        if key.startswith("configmap/backend-config")
    )
    assert config["data"]["REDIS_PORT"] == "25061"


def test_keda_knows_no_sentinels(cluster: Cluster, urls: list[str]) -> None:
    cluster.crds = KEDA
    told = ok(cluster.setup(*rented(urls, "sentinel://a,b?master_name=main")))
    assert "KEDA's trigger for Redis knows no Sentinels" in told
    assert "scaledobject/fastapi-celery-worker" not in cluster.objects


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("unix:///run/r.sock", "is a socket"),
        ("redis://a,b", "several hosts"),
        ("redis://Sekret#x@a", "percent-encode"),
    ],
)
def test_a_url_that_cannot_work_changes_nothing(
    cluster: Cluster, urls: list[str], url: str, words: str
) -> None:
    result = cluster.setup(*rented(urls, url))
    assert result.returncode == 1
    assert "the URL of Redis" in result.stderr and words in result.stderr
    assert "Sekret" not in result.stderr
    assert not cluster.objects


def test_production_needs_managed_servers(cluster: Cluster) -> None:
    cluster.variables["AUTH_DISABLED"] = "true"
    result = cluster.setup("--environment", "production")
    assert result.returncode == 1
    assert "name its URL with --database-url-file" in result.stderr
    assert not cluster.objects


def test_without_keda_cpu_decides(cluster: Cluster, urls: list[str]) -> None:
    told = ok(cluster.setup(*urls))
    assert "KEDA is not installed" in told
    assert scalers("horizontalpodautoscaler") <= set(cluster.objects)
    # KEDA comes later: two autoscalers must not pull at one Deployment.
    cluster.crds = KEDA
    ok(cluster.setup(*urls))
    assert not scalers("horizontalpodautoscaler") & set(cluster.objects)
    assert scalers("scaledobject") <= set(cluster.objects)


def test_a_gateway_takes_the_place_of_the_ingress(cluster: Cluster) -> None:
    ok(cluster.setup())
    refused = cluster.setup("--gateway", "infra/public")
    assert "CRD httproutes.gateway.networking.k8s.io" in refused.stderr
    gateway = ("--gateway", "infra/public", "--host", "api.example.org")
    cluster.crds = GATEWAY
    ok(cluster.setup(*gateway))
    spec = cluster.objects["httproute/fastapi-api"]["object"]["spec"]
    assert spec["parentRefs"][0]["name"] == "public"
    assert spec["parentRefs"][0]["namespace"] == "infra"
    assert spec["hostnames"] == ["api.example.org"]
    assert "ingress/fastapi-api" not in cluster.objects


def test_openshift_chooses_the_user_ids(cluster: Cluster) -> None:
    cluster.crds = (*OPENSHIFT, *GATEWAY)
    ok(cluster.setup("--gateway", "infra/public"))
    assert "httproute/fastapi-api" in cluster.objects  # both components
    for name in ("deployment/fastapi-api", "statefulset/postgres"):
        pod = cluster.objects[name]["object"]["spec"]["template"]["spec"]
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(pod["securityContext"])
        assert pod["securityContext"]["runAsNonRoot"] is True


def test_a_dry_run_changes_nothing_and_shows_all(cluster: Cluster) -> None:
    result = cluster.run("kubectl-setup.sh", "--dry-run", yes=False)
    ok(result)
    assert not cluster.objects
    assert result.stdout.count("\nkind: ") == len(rendered("development"))
    changing = ("apply", "create", "delete", "label", "rollout")
    assert not [call for call in cluster.said if call.startswith(changing)]


@pytest.mark.parametrize("script", SCRIPTS)
def test_nothing_happens_unconfirmed(cluster: Cluster, script: str) -> None:
    result = cluster.run(script, yes=False)
    assert result.returncode == 1
    assert "no terminal to confirm the context" in result.stderr
    assert cluster.said == ["config current-context"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tag", "latest"], "cannot be rolled back"),
        (["--environment", "staging"], "development or production"),
        (["--namespace", "a b"], "invalid name"),
        (["--namespace"], "needs a value"),
        (["--timeout", "soon"], "invalid number"),
        (["--redis-url-file", "/nowhere"], "its own servers"),
        (["--gateway", "public"], "NAMESPACE/NAME"),
        (["now"], "unknown argument now"),
        (["--now", "1"], "unknown option --now"),
    ],
)
def test_wrong_options_are_refused(
    cluster: Cluster, arguments: list[str], message: str
) -> None:
    result = cluster.setup(*arguments)
    assert result.returncode == 1
    assert message in result.stderr


def test_an_old_cluster_is_refused(cluster: Cluster) -> None:
    cluster.version = "v1.30.9-gke.1"
    result = cluster.setup()
    assert "Kubernetes 1.30: 1.31 or newer is needed" in result.stderr
    assert not cluster.objects
