"""We fill in the template as the official image does."""

from pathlib import Path

import pytest

from local.process import ProcessFailed
from local.servers.nginx import Nginx, render, trusted_proxies
from local.state import State


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


@pytest.mark.parametrize("proxies", ["lb.example", "10.0.0.1/8", "*", "1; include x"])
def test_what_is_no_proxy_is_refused(proxies: str) -> None:
    with pytest.raises(ProcessFailed, match="NGINX_TRUSTED_PROXIES: list"):
        trusted_proxies(proxies)
