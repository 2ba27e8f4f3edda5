"""What `kubectl-setup.sh --tls` adds: certificates, and who uses which."""

import re

import yaml

from local.servers.nginx import TLS_DIRECTIVES
from tests.unit.kubernetes.cluster import KEDA, Cluster, ok
from tests.unit.kubernetes.manifests import ROOT, Object, of_kind, one

FOLDER = ROOT / "deploy/components/tls"
CERT_MANAGER = "certificates.cert-manager.io"

# What cert-manager's reference has for the fields of a Certificate.
FIELDS = {
    *("secretName", "duration", "renewBefore", "privateKey", "usages", "issuerRef"),
    *("dnsNames", "isCA", "commonName", "secretTemplate"),
}
# Workload, and the secret of its own certificate; all others have the authority alone.
SERVERS = {
    "nginx": "nginx-tls",
    "fastapi-api": "fastapi-api-tls",
    "rabbitmq": "rabbitmq-tls",
    "otel-collector": "otel-collector-tls",
}


def test_certificates_have_the_documented_fields_and_one_authority() -> None:
    found = {each["metadata"]["name"]: each["spec"] for each in certificates()}
    authority = found.pop("local-ca")
    assert authority["isCA"] and authority["issuerRef"]["name"] == "self-signed"
    assert {spec["secretName"] for spec in found.values()} == set(SERVERS.values())
    for spec in [authority, *found.values()]:
        assert set(spec) <= FIELDS
        assert hours(spec["renewBefore"]) < hours(spec["duration"]) / 2
        assert one("tls", "Issuer", spec["issuerRef"]["name"])
    for spec in [authority, *found.values()]:  # kubectl-remove.sh deletes by label
        labels = {"app.kubernetes.io/part-of": "fastapi-starter"}
        assert spec["secretTemplate"] == {"labels": labels}
    for spec in found.values():
        assert spec["issuerRef"]["name"] == "local-ca"
        assert "isCA" not in spec and spec["usages"][-1] == "server auth"
        assert hours(spec["duration"]) <= 90 * 24
        assert spec["privateKey"]["rotationPolicy"] == "Always"
    assert one("tls", "Issuer", "local-ca")["spec"]["ca"]["secretName"] == "local-ca"


def certificates() -> list[Object]:
    return of_kind("tls", "Certificate")


def hours(text: str) -> int:
    return int(text.removesuffix("h"))


def test_each_pod_has_its_own_key_or_none() -> None:
    pods = of_kind("tls", "Deployment", "StatefulSet", "Job")
    assert len(pods) > len(SERVERS)
    for each in pods:
        name, spec = each["metadata"]["name"], each["spec"]["template"]["spec"]
        (volume,) = [v["secret"] for v in spec["volumes"] if v["name"] == "tls"]
        mounts = spec["containers"][0]["volumeMounts"]
        assert {"name": "tls", "mountPath": "/tls", "readOnly": True} in mounts
        if name in SERVERS:
            assert volume["secretName"] == SERVERS[name]
        else:
            assert [item["key"] for item in volume["items"]] == ["ca.crt"], name


def test_clients_verify_by_a_name_of_the_certificate() -> None:
    for config in of_kind("tls", "ConfigMap"):
        data = config["data"]
        for value in data.values():
            assert "http://" not in value or "\n" in value, config["metadata"]["name"]
        for host in re.findall(
            r"https://([\w-]+)", data.get("RABBITMQ_MANAGEMENT_URL", "")
        ):
            assert host in names("rabbitmq-tls")
    for name in ("backend-config", "services-config"):
        data = one("tls", "ConfigMap", name)["data"]
        assert {*data["RABBITMQ_HOST"].split(",")} < {*names("rabbitmq-tls")}
    for host in ("rabbitmq", "otel-collector"):
        assert host in names(f"{host}-tls")
    assert re.findall(r"proxy_ssl_name (\w+);", TLS_DIRECTIVES) == ["api"]
    assert "api" in names("fastapi-api-tls")


def names(certificate: str) -> list[str]:
    found: list[str] = one("tls", "Certificate", certificate)["spec"]["dnsNames"]
    return found


def test_probes_of_the_api_speak_tls() -> None:
    spec = one("tls", "Deployment", "fastapi-api")["spec"]["template"]["spec"]
    container = spec["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"


def test_the_gateway_has_the_same_directives_everywhere() -> None:
    text = (FOLDER / "gateway-tls.conf").read_text().replace("/tls/", "")
    lines = {line for line in text.splitlines() if not line.startswith("#")}
    assert lines == {line.strip() for line in TLS_DIRECTIVES.splitlines()}


def test_the_collector_gets_tls_for_each_of_its_ports() -> None:
    more = yaml.safe_load((FOLDER / "otel-collector-tls.yaml").read_text())
    folder = ROOT / "observability"
    for name in ("otel-collector-config.yaml", "otel-collector-debug.yaml"):
        own = yaml.safe_load((folder / name).read_text())
        protocols = own["receivers"]["otlp"]["protocols"]
        assert set(protocols) == set(more["receivers"]["otlp"]["protocols"])


def planned(cluster: Cluster, *arguments: str) -> dict[str, Object]:
    """The objects that the script would apply, by kind and name."""
    cluster.crds = (CERT_MANAGER, *KEDA)
    result = cluster.setup("--dry-run", "--tls", *arguments)
    ok(result)
    found = filter(None, yaml.safe_load_all(result.stdout))
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


def test_the_option_needs_cert_manager(cluster: Cluster) -> None:
    assert CERT_MANAGER in cluster.setup("--tls").stderr
    assert not cluster.objects
    found = planned(cluster, "--namespace", "shop")
    names = found["Certificate/rabbitmq-tls"]["spec"]["dnsNames"]
    assert "rabbitmq.shop.svc" in names


def test_keda_verifies_rabbitmq(cluster: Cluster, urls: list[str]) -> None:
    found = planned(cluster, *urls)["TriggerAuthentication/rabbitmq"]["spec"]
    parameters = {
        each["parameter"]: (each["name"], each["key"])
        for each in found["secretTargetRef"]
    }
    assert parameters["ca"] == ("rabbitmq-tls", "ca.crt")
    assert parameters["tls"] == ("rabbitmq-keda-tls", "tls")
    assert parameters["host"] == ("rabbitmq-keda-tls", "management-url")
    ok(cluster.setup("--tls", *urls))
    assert set(cluster.secrets()["rabbitmq-keda-tls"]) == {"tls", "management-url"}
