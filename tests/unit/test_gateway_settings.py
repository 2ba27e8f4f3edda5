"""An invalid setting of the gateway stops its start, with its name and the fix: in
containers and with `make run`."""

import os
import re
import subprocess

import pytest
import yaml
from dotenv import dotenv_values

from local.apps import ROOT
from local.process import ProcessFailed
from local.servers.nginx_settings import RULES, check

CHECK = ROOT / "deploy/nginx/check.sh"
EXAMPLE = {k: v or "" for k, v in dotenv_values(ROOT / ".env.example").items()}
DEFAULTS = {name: EXAMPLE[name] for name in RULES}
# What our own files set.
FIXED = {"NGINX_PORT", "NGINX_PROBES_PORT", "NGINX_ACCESS_LOG"}

MOST = {
    "NGINX_REQUESTS_PER_SECOND": 1_000_000,
    "NGINX_BURST": 1_000_000,
    # Ports of an address: it cannot have more connections.
    "NGINX_CONNECTIONS": 65535,
    "NGINX_POLLING": 65535,
    "NGINX_LARGE_BODIES": 65535,
    "NGINX_LARGE_BODIES_OF_CLIENT": 65535,
}
GOOD = [
    *((name, value) for name, most in MOST.items() for value in ("1", str(most))),
    *(("NGINX_MAX_BODY", value) for value in ("1k", "20M", "1000", "1048576")),
    *(("NGINX_READ_TIMEOUT", value) for value in ("500ms", "45s", "2m", "86400")),
    *(("NGINX_TRUSTED_PROXIES", value) for value in ("", "10.0.0.0/8, ::1 fd00::/8")),
    *(("NGINX_TRUSTED_PROXIES", value) for value in ("0.0.0.0/0", "10.0.0.1/8")),
    *(("NGINX_TRUSTED_PROXIES", value) for value in ("255.255.255.255/32", "::/0")),
    *(("NGINX_SHARED_NETWORK", value) for value in ("192.0.2.7", "fd00::/64")),
]
BAD = [
    *((name, "many") for name in RULES),
    *((name, "1; include x") for name in RULES),
    *((name, "-1") for name in RULES),
    *((name, "") for name in RULES if name != "NGINX_TRUSTED_PROXIES"),
    *((name, "0") for name in RULES),
    *((name, "0.5") for name in RULES),
    *((name, "99999999999999999999") for name in RULES),
    *((name, str(most + 1)) for name, most in MOST.items()),
    ("NGINX_CONNECTIONS", "5 0"),
    *(("NGINX_MAX_BODY", value) for value in ("1mb", "m", "0k", "1g", "1048577")),
    *(("NGINX_READ_TIMEOUT", value) for value in ("45 s", "s", "1h", "0s", "86401")),
    *(("NGINX_SHARED_NETWORK", value) for value in ("10.0.0.0/8,::1", "300.1.1.1/8")),
    *(("NGINX_TRUSTED_PROXIES", value) for value in ("10.0.0.0/33", "1.2.3/8", "*")),
    *(("NGINX_TRUSTED_PROXIES", value) for value in ("256.1.1.1", "1.2.3.256/8")),
    *(
        ("NGINX_TRUSTED_PROXIES", value)
        for value in ("::1/129", "1.2.3.4.5", "1.2.3.4/")
    ),
]


def in_container(settings: dict[str, str]) -> tuple[int, str]:
    result = subprocess.run(
        ["sh", str(CHECK)],
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stderr.strip()


def locally(settings: dict[str, str]) -> str:
    try:
        check(settings)
    except ProcessFailed as error:
        return str(error)
    return ""


def test_the_defaults_are_valid() -> None:
    assert in_container(DEFAULTS) == (0, "")
    assert locally(DEFAULTS) == ""


def test_every_setting_of_the_gateway_is_checked() -> None:
    template = (ROOT / "nginx_config.conf").read_text()
    named = {*re.findall(r"\$\{(NGINX_\w+)}", template)} - FIXED
    documented = {name for name in EXAMPLE if name.startswith("NGINX_")}
    assert named | documented == set(RULES)


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_what_nginx_takes_is_accepted(name: str, value: str) -> None:
    settings = {**DEFAULTS, name: value}
    assert in_container(settings) == (0, "")
    assert locally(settings) == ""


@pytest.mark.parametrize(("name", "value"), BAD)
def test_what_cannot_work_is_named_with_the_fix(name: str, value: str) -> None:
    settings = {**DEFAULTS, name: value}
    code, said = in_container(settings)
    assert code == 2
    head, line = said.splitlines()  # and no other setting
    assert line == f"  {name}: write {RULES[name][1]}"
    assert locally(settings) == said


def test_all_faults_are_named_at_once() -> None:
    settings = dict.fromkeys(RULES, "x")
    _, said = in_container(settings)
    assert said == locally(settings)
    assert all(f"  {name}: " in said for name in RULES)


def test_the_containers_run_the_check_before_nginx() -> None:
    script = (ROOT / "deploy/compose/gateway.sh").read_text()
    start = re.search(r"^start\(\) \{\n(.*?)^}", script, re.M | re.S)
    assert start and start[1].split()[:2] == ["sh", "/gateway/check.sh"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounts = compose["services"]["nginx"]["volumes"]
    for name in ("check.sh", "trusted.sh"):
        assert f"./deploy/nginx/{name}:/gateway/{name}:ro" in mounts
    pod = (ROOT / "deploy/nginx/nginx-pod.yaml").read_text()
    assert "mountPath: /docker-entrypoint.d/15-check.sh, subPath: check.sh" in pod
    assert "mountPath: /usr/local/bin/trusted.sh, subPath: trusted.sh" in pod
    kustomization = (ROOT / "deploy/nginx/kustomization.yaml").read_text()
    assert "files: [check.sh, listen.envsh, trusted.sh]" in kustomization


def test_a_worker_that_ends_finishes_its_requests() -> None:
    """After a reload, and when its pod stops."""
    main = (ROOT / "deploy/nginx/nginx.conf").read_text()
    (longest,) = re.findall(r"worker_shutdown_timeout (\d+)s;", main)
    settings = (ROOT / "deploy/nginx/nginx-config.env").read_text()
    (request,) = re.findall(r"^NGINX_READ_TIMEOUT=(\d+)s$", settings, re.MULTILINE)
    assert int(longest) > int(request)
