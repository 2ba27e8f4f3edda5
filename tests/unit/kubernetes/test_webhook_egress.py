"""The worker's pods send webhooks to public addresses, and reach no others: the second
lock behind the worker's own check."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from tests.unit.kubernetes.manifests import ALL, of_kind, selects

WORKER = {"app.kubernetes.io/name": "fastapi-celery-worker"}
HTTPS = 443
PUBLIC = ("93.184.215.14", "2606:2800:21f:cb07::1")
OURS = (
    *("10.1.2.3", "100.64.0.1", "127.0.0.1", "172.16.0.1", "172.31.9.9"),
    *("192.168.1.1", "169.254.169.254", "fc00::1", "fd12::1", "fe80::1"),
)


def allowed(overlay: str, address: str) -> Iterator[bool]:
    """What each rule for HTTPS says about an address."""
    ip = ip_address(address)
    for policy in of_kind(overlay, "NetworkPolicy"):
        if selects(policy["spec"]["podSelector"], WORKER):
            for rule in policy["spec"].get("egress", []):
                ports = [each.get("port") for each in rule.get("ports", [])]
                for target in rule.get("to", []):
                    block = target.get("ipBlock")
                    if block and (HTTPS in ports or not ports):
                        networks = map(ip_network, block.get("except", []))
                        yield ip in ip_network(block["cidr"]) and not any(
                            ip in network for network in networks
                        )


@pytest.mark.parametrize("overlay", ALL)
@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(overlay: str, address: str) -> None:
    assert any(allowed(overlay, address))


@pytest.mark.parametrize("overlay", ALL)
@pytest.mark.parametrize("address", OURS)
def test_addresses_of_ours_are_not(overlay: str, address: str) -> None:
    assert not any(allowed(overlay, address))
