"""We fill in the template as the official image does."""

import re
import subprocess
from pathlib import Path

import pytest

from local.process import ProcessFailed
from local.servers.nginx import Nginx, render, trusted_proxies
from local.state import LOCAL, State

GATEWAY = LOCAL.parent / "deploy" / "compose" / "gateway.sh"


def test_only_named_variables_in_braces_are_replaced() -> None:
    template = "listen ${PORT}; proxy_set_header Host $host; set $a ${OTHER};"
    assert render(template, {"PORT": "80", "host": "no"}) == (
        "listen 80; proxy_set_header Host $host; set $a ${OTHER};"
    )


def test_several_upstreams_become_several_servers(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.write_text("server ${API_UPSTREAM}; listen ${NGINX_PORT};")
    nginx = Nginx(State(tmp_path), 1234, [8000, 8001], template)
    nginx.configure()
    assert (nginx.folder / "site.conf").read_text() == (
        "server 127.0.0.1:8000; server 127.0.0.1:8001; listen 127.0.0.1:1234;"
    )


def directives_of_the_containers(proxies: str) -> str:
    function = re.search(r"^trusted\(\).*?^}", GATEWAY.read_text(), re.M | re.S)
    assert function
    script = f"set -eu\n{function[0]}\ntrusted"
    env = {"NGINX_TRUSTED_PROXIES": proxies}
    return subprocess.run(
        ["sh", "-c", script], env=env, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("proxies", ["", "10.0.0.0/8, 192.0.2.7", "::1 fd00::/8", " "])
def test_trusted_proxies_are_the_same_in_containers(proxies: str) -> None:
    local = trusted_proxies(proxies)
    assert local.split() == directives_of_the_containers(proxies).split()
    assert local.count("set_real_ip_from") == len(proxies.replace(",", " ").split())


@pytest.mark.parametrize("proxies", ["lb.example", "10.0.0.1/8", "*", "1; include x"])
def test_what_is_no_proxy_is_refused(proxies: str) -> None:
    with pytest.raises(ProcessFailed, match="NGINX_TRUSTED_PROXIES: list"):
        trusted_proxies(proxies)


@pytest.mark.parametrize("proxies", ["lb.example", "*", "1; include x"])
def test_what_is_no_proxy_is_refused_in_containers(proxies: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        directives_of_the_containers(proxies)
    assert "NGINX_TRUSTED_PROXIES" in failed.value.stderr
