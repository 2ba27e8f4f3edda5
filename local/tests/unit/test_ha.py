"""The highly available lab, without its servers."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chassis.redis_url import RedisUrl
from local import install
from local.ha import network, redis
from local.ha.leased import LEASE
from local.ha.network import KINDS, ZONES, Loopback, Namespaces, free_network
from local.ha.node import Node
from local.ha.postgres import cluster_settings
from local.ha.rabbitmq import ClusterNode
from local.ha.servers import Clusters, require
from local.process import ProcessFailed
from local.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    (tmp_path / "logs").mkdir()
    return State(tmp_path)


@pytest.fixture(params=[True, False], ids=["root", "others"])
def clusters(state: State, request: pytest.FixtureRequest) -> Clusters:
    return Clusters(state, Namespaces(state) if request.param else Loopback())


def test_a_network_in_use_is_not_taken() -> None:
    assert free_network(["127.0.0.1", "10.213.1.7", "::1"]) == "10.213.2"
    assert free_network([]) == "10.213.1"


def test_each_node_has_a_host_of_its_own_in_its_zone(clusters: Clusters) -> None:
    assert len(clusters.nodes) == len(KINDS) * len(ZONES)
    assert len({node.machine.address for node in clusters.nodes}) == len(clusters.nodes)
    assert all(node.name.endswith(f"-{node.machine.zone}") for node in clusters.nodes)
    # Who cuts one off must not cut off another.
    ways = {node.machine.prefix for node in clusters.nodes} - {()}
    assert len(ways) in (0, len(clusters.nodes))


def test_our_processes_are_told_about_every_node(clusters: Clusters) -> None:
    env = clusters.environment()
    assert env["RABBITMQ_HOST"] == ",".join(node.at for node in clusters.rabbitmq)
    tasks = RedisUrl.read(env["CELERY_BROKER_URL"])
    assert len(tasks.hosts) == 3 and tasks.master_name
    database = urlsplit(env["DATABASE_URL"])
    assert [node.at in database.netloc for node in clusters.members] == [True] * 3
    assert "target_session_attrs=read-write" in database.query
    assert database.username != urlsplit(env["MIGRATIONS_DATABASE_URL"]).username


def test_the_primary_stops_before_its_lease_ends() -> None:
    settings = cluster_settings()
    wait, retry = settings["loop_wait"], settings["retry_timeout"]
    assert isinstance(wait, int) and isinstance(retry, int)
    assert wait + 2 * retry <= LEASE


def test_no_commit_without_a_second_copy() -> None:
    settings = cluster_settings()
    assert settings["synchronous_mode"] == "quorum"
    assert settings["synchronous_mode_strict"] is True


def test_a_minority_of_rabbitmq_pauses(
    clusters: Clusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.ha.rabbitmq.find_script", lambda: "rabbitmq-server")
    for node in clusters.rabbitmq:
        node.command()
        text = (node.folder / "rabbitmq.conf").read_text()
        assert "cluster_partition_handling = pause_minority" in text
        peers = [each.node for each in clusters.rabbitmq]
        assert [peer for peer in peers if peer in text] == peers
    names = {(node.folder / "names").read_text() for node in clusters.rabbitmq}
    assert all(host in name for name in names for host in ("rabbitmq-a", "rabbitmq-c"))


def test_a_lost_node_comes_back_without_its_data(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.servers.base.Server.start", lambda node: None)
    node: Node = ClusterNode(state, Loopback().host("rabbitmq", "a"))
    (node.folder / "data").touch()
    node.clear()
    assert node.is_replacement and list(node.folder.iterdir()) == []
    node.start()
    assert not node.is_replacement


def test_a_server_of_this_machine_takes_no_port_of_a_node(clusters: Clusters) -> None:
    assert {node.port for node in clusters.nodes} == {0}


def test_etcd_has_a_leader_again_before_patroni_gives_up(
    clusters: Clusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the loss of one etcd would cost the primary its lease."""
    monkeypatch.setattr("shutil.which", lambda name: name)
    for member in clusters.etcd:
        argv = member.command().argv
        beat, silence = (
            int(argv[argv.index(option) + 1])
            for option in ("--heartbeat-interval", "--election-timeout")
        )
        # etcd itself demands the first; members wait for up to twice the timeout.
        assert 5 * beat <= silence
        assert 2 * silence / 1000 <= cluster_settings()["retry_timeout"]


def test_the_lab_installs_all_that_it_lacks_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(network, "may_cut", lambda: True)
    monkeypatch.setattr(network, "missing_packages", lambda: ["iptables"])
    monkeypatch.setattr(install, "install_missing", lambda *_: None)
    monkeypatch.setattr(install, "install", lambda names, _: asked.append([*names]))
    with pytest.raises(ProcessFailed, match="etcd-server"):
        require(print)
    assert [set(names) for names in asked] == [{"etcd-server", "iptables"}]


def test_sentinels_have_their_own_place_and_know_the_primarys(
    clusters: Clusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "find_binary", lambda: "redis-server")
    monkeypatch.setattr(redis, "primary_of", lambda _: ("127.0.9.9", 4321))
    for sentinel in clusters.sentinels:
        sentinel.place = (sentinel.place[0], 1234)
        sentinel.command()
        lines = (sentinel.folder / "sentinel.conf").read_text().splitlines()
        assert {f"bind {sentinel.place[0]}", "port 1234"} <= {*lines}
        assert "sentinel monitor main 127.0.9.9 4321 2" in lines
