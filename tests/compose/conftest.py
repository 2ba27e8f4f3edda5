"""The containers under test: built once, and removed with their data after the
session."""

from collections.abc import Iterator

import pytest

from tests.compose.containers import HA, SCALE, Compose, docker_answers, run
from tests.e2e.client import Api


@pytest.fixture(scope="session")
def compose() -> Iterator[Compose]:
    """One container of each service; built, not yet started."""
    if not docker_answers():
        pytest.fail("these tests need a Docker daemon")
    names = run("docker", "ps", "-a", "--format", "{{.Names}}").split()
    assert "fastapi-api" not in names, "the containers exist already: `make down`"
    compose = Compose()
    compose("build")
    yield compose
    compose("down", "-v", "--remove-orphans", "-t", "5")


@pytest.fixture(scope="session")
def scaled(compose: Compose) -> Compose:
    """Several containers of each service, in place of the others."""
    compose("down")
    several = Compose({**compose.env, "API_HOST_PORT": ""}, (*compose.files, SCALE))
    several.up()
    return several


@pytest.fixture(scope="session")
def redundant(compose: Compose) -> Iterator[Compose]:
    """Several of everything, in place of the others."""
    compose("down", "--remove-orphans")
    everything = Compose({**compose.env, "API_HOST_PORT": ""}, (*compose.files, HA))
    everything("build", "postgres")
    # Thirty containers start on a machine that may have two cores.
    everything.up(within=300)
    yield everything
    everything("down", "-v", "-t", "5")


@pytest.fixture
def api(compose: Compose) -> Iterator[Api]:
    """A client of the gateway."""
    client = Api(compose.url)
    yield client
    client.close()
