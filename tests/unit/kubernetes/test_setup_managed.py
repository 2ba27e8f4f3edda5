"""kubectl-setup.sh with managed servers, whose URLs it is given."""

import re
from pathlib import Path

import pytest

from deploy.redis_parts import parts
from local.registry import registered
from tests.unit.kubernetes.cluster import KEDA, Cluster, ok, scalers


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


def test_a_secret_is_replaced_in_one_step(cluster: Cluster, urls: list[str]) -> None:
    """Pods that start meanwhile find it, with the old value or the new one."""
    ok(cluster.setup(*urls))
    cluster.objects["secret/redis-keys-credentials"]["data"]["redis.conf"] = "old"
    result = cluster.setup(*rented(urls, "redis://:Sekret6@cache"))
    assert "secret/redis-credentials configured" in ok(result) + result.stdout
    assert cluster.secrets()["redis-credentials"]["password"] == "Sekret6"
    assert set(cluster.secrets()["redis-keys-credentials"]) == {"url"}
    assert not [call for call in cluster.said if re.search("^delete .*secret", call)]
    assert "Sekret" not in "".join(cluster.said) + result.stdout


def test_secrets_of_the_previous_release_are_completed(cluster: Cluster) -> None:
    """With one user of RabbitMQ, and one role of PostgreSQL, which stays."""
    place = "postgres:5432/fastapi_db"
    old = {"url": f"postgresql+psycopg2://fastapi:x@{place}"}
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
    assert "secret/" not in result.stdout
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
    ("url", "expected"),
    [
        ("redis://cache", ["", "", "cache:6379", "disable", "0", "6379"]),
        ("redis://:p%40s%2Fs@cache/2", ["", "p@s/s", "cache:6379", "disable", "2"]),
        ("rediss://u:p@cache:1?db=3", ["u", "p", "cache:1", "enable", "3", "1"]),
        ("rediss://u@[::1]?ssl_cert_reqs=none", ["u", "", "[::1]:6379", "enable", "0"]),
    ],
)
def test_any_url_has_its_parts(url: str, expected: list[str]) -> None:
    assert parts(url)[: len(expected)] == expected


def test_keda_gets_the_parts_of_a_url(cluster: Cluster, urls: list[str]) -> None:
    cluster.crds = KEDA
    first = rented(urls, "rediss://u:p%40s%2Fs@[::1]:1?db=3")
    for options in (first, ["--environment", "production"]):  # it reads the secret
        ok(cluster.setup(*options))
        secret = cluster.secrets()["redis-credentials"]
        names = ("username", "password", "address", "tls")
        assert [secret[name] for name in names] == ["u", "p@s/s", "[::1]:1", "enable"]
        scaled = cluster.objects["scaledobject/fastapi-celery-worker"]["object"]
        triggers = [t["metadata"] for t in scaled["spec"]["triggers"]][:3]
        assert {each["databaseIndex"] for each in triggers} == {"3"}
        assert [each["listName"] for each in triggers] == ["high", "default", "low"]


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


SENTINELS = (
    "sentinel://u:p%40@one:1;sentinel://[::2]/4?master_name=main&ssl=true"
    "&ssl_cert_reqs=none&sentinel_username=s&sentinel_password=q"
)


def test_keda_asks_sentinels(cluster: Cluster, urls: list[str]) -> None:
    cluster.crds = KEDA
    ok(cluster.setup(*urls))
    first = rented(urls, SENTINELS)
    for options in (first, ["--environment", "production"]):  # it reads the secret
        ok(cluster.setup(*options))
        assert cluster.secrets()["redis-credentials"] == {
            "url": SENTINELS,
            **{"username": "u", "password": "p@", "tls": "enable"},
            "address": "one:1,[::2]:26379",
            "sentinel-master": "main",
            **{"sentinel-username": "s", "sentinel-password": "q"},
        }
        scaled = cluster.objects["scaledobject/fastapi-celery-worker"]["object"]
        *triggers, cpu = scaled["spec"]["triggers"]
        assert cpu["type"] == "cpu"
        assert {each["type"] for each in triggers} == {"redis-sentinel"}
        for each in triggers:
            assert each["metadata"]["databaseIndex"] == "4"
            assert each["metadata"]["unsafeSsl"] == "true"
        policy = cluster.objects["networkpolicy/external-servers"]["object"]
        ports = [each["port"] for each in policy["spec"]["egress"][0]["ports"]]
        assert sorted(ports) == [1, 5432, 6379, 6390, 26379]  # 6390: that of keys


def test_sentinels_of_the_previous_release_are_completed(cluster: Cluster) -> None:
    """It made no address, and scaled on CPU."""
    cluster.crds = KEDA
    cluster.variables["AUTH_DISABLED"] = "true"
    old = {"url": SENTINELS, "username": "u", "password": "p@", "address": ""}
    for name in ("database-credentials", "redis-keys-credentials"):
        cluster.objects[f"secret/{name}"] = {"data": {"url": "redis://keys"}}
    cluster.objects["secret/redis-credentials"] = {"data": old}
    for _ in range(2):
        result = cluster.setup("--environment", "production")
        ok(result)
        made = cluster.secrets()["redis-credentials"]
        assert made["address"] == "one:1,[::2]:26379"
        assert made["sentinel-master"] == "main"
    assert "completed" not in result.stderr


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


@pytest.mark.parametrize("server", ["database", "redis", "redis-keys"])
def test_each_managed_server_must_be_named(
    cluster: Cluster, urls: list[str], server: str
) -> None:
    """Before anything is changed: pods would wait for a secret that nobody makes."""
    option = f"--{server}-url-file"
    place = urls.index(option)
    result = cluster.setup(*urls[:place], *urls[place + 2 :])
    assert result.returncode == 1
    assert f"name its URL with {option}" in result.stderr
    assert not cluster.objects


def test_without_keda_cpu_decides(cluster: Cluster, urls: list[str]) -> None:
    told = ok(cluster.setup(*urls))
    assert "KEDA is not installed" in told
    assert scalers("horizontalpodautoscaler") <= set(cluster.objects)
    # KEDA comes later: two autoscalers must not pull at one Deployment.
    cluster.crds = KEDA
    ok(cluster.setup(*urls))
    removed = cluster.place("^delete horizontalpodautoscalers ")
    assert removed < cluster.place(r"^apply .*-f .*/application\.yaml")
    assert not scalers("horizontalpodautoscaler") & set(cluster.objects)
    assert scalers("scaledobject") <= set(cluster.objects)
    # Nor does a smaller environment keep any.
    ok(cluster.setup())
    kinds = {key.partition("/")[0] for key in cluster.objects}
    assert not {"scaledobject", "horizontalpodautoscaler"} & kinds


@pytest.mark.parametrize("value", ['value: ""', "value:", "valueless: true"])
def test_without_signoz_the_collector_prints(
    cluster: Cluster, urls: list[str], value: str
) -> None:
    assert "SIGNOZ_ENDPOINT" not in ok(cluster.setup("--dry-run", *urls))
    cluster.crds = ("certificates.cert-manager.io",)
    cluster.edit = ("value: signoz-otel-collector.signoz.svc:4317", value)
    result = cluster.setup("--dry-run", "--tls", *urls)
    assert "note: SIGNOZ_ENDPOINT is empty in observability/" in ok(result)
    arguments = re.findall(r"- (--config=\S+)", result.stdout)
    assert arguments == [
        "--config=/etc/otelcol/otel-collector-debug.yaml",
        "--config=/etc/otelcol-tls/otel-collector-tls.yaml",
    ]


def test_the_collector_sends_to_the_port_of_its_backend(
    cluster: Cluster, urls: list[str]
) -> None:
    policy = "networkpolicy/otel-collector"
    for port in (443, 4317):
        cluster.edit = ("signoz.svc:4317", f"example:{port}")
        ok(cluster.setup(*urls))
        (rule,) = cluster.objects[policy]["object"]["spec"]["egress"]
        assert rule == {"ports": [{"protocol": "TCP", "port": port}]}
