"""Each Redis keeps what it is for when it is full, and when its process ends: in
containers as in a cluster."""

from collections.abc import Iterator

import pytest
import yaml

from tests.unit.kubernetes.manifests import ROOT, workload

COMPOSE = ROOT / "docker-compose.yml"


def options(name: str) -> Iterator[dict[str, str]]:
    """The options of a server, wherever it is ours to start."""
    words = [workload(name, "development").main["args"]]
    if COMPOSE.exists():
        words.append(yaml.safe_load(COMPOSE.read_text())["services"][name]["command"])
    for each in words:
        named = [place for place, word in enumerate(each) if word.startswith("--")]
        yield {each[place]: each[place + 1] for place in named}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("redis", {"--maxmemory-policy": "noeviction", "--appendonly": "yes"}),
        ("redis-keys", {"--maxmemory-policy": "volatile-ttl", "--save": ""}),
    ],
)
def test_it_keeps_what_it_is_for(name: str, expected: dict[str, str]) -> None:
    for given in options(name):
        assert expected.items() <= given.items()
        assert int(given["--maxmemory"].removesuffix("mb")) > 0


def test_both_ways_have_the_same_limit() -> None:
    for name in ("redis", "redis-keys"):
        assert len({given["--maxmemory"] for given in options(name)}) == 1


@pytest.mark.parametrize("name", ["redis", "redis-keys"])
def test_its_container_has_a_third_more_memory(name: str) -> None:
    """Redis counts its data alone, not connections or what a rewrite of the log needs:
    the kernel would kill it before it is full."""
    pod = workload(name, "development").main["resources"]["limits"]["memory"]
    limits = [pod.removesuffix("Mi")]
    if COMPOSE.exists():
        own = yaml.safe_load(COMPOSE.read_text())["services"][name]
        limits.append(own["mem_limit"].removesuffix("m"))
    for given, limit in zip(options(name), limits, strict=True):
        assert 3 * int(limit) >= 4 * int(given["--maxmemory"].removesuffix("mb"))
