"""A fake cluster for each test of the scripts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.kubernetes.cluster import Cluster
from tests.unit.kubernetes.manifests import kubectl


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "bin"
    folder.mkdir()
    cluster = Cluster(folder, kubectl())
    yield cluster
    cluster.close()


@pytest.fixture
def urls(tmp_path: Path, cluster: Cluster) -> list[str]:
    """Options that name the managed servers; everybody may call."""
    cluster.variables["AUTH_DISABLED"] = "true"
    database, redis = tmp_path / "database", tmp_path / "redis"
    database.write_text("postgresql+psycopg2://u:Sekret1@pg.example.org/fastapi_db\n")
    redis.write_text("rediss://default:Sekret2@redis.example.org:6390/0")
    keys = tmp_path / "keys"
    keys.write_text("rediss://default:Sekret3@keys.example.org:6390/0")
    files = ["--database-url-file", str(database), "--redis-url-file", str(redis)]
    files += ["--redis-keys-url-file", str(keys)]
    return ["--environment", "production", *files]
