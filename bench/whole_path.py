"""Part two: `POST /process` from the client to the committed rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import load, usage
from bench.figures import Sample
from bench.setting import Setting, base_url, running, say
from local.servers.base import Server

CONNECTIONS = (32, 1)
WARM_UP = 2  # seconds

KIT = "kit"
GATEWAY = "kit through nginx"
FASTSTREAM = "FastStream + SQLModel"


@dataclass
class Contender:
    """One address, and every process that works for it."""

    label: str
    url: str
    processes: Sequence[Server]
    servers: Sequence[Server] = ()
    rounds: dict[int, list[Sample]] = field(
        default_factory=lambda: {connections: [] for connections in CONNECTIONS}
    )


@dataclass(frozen=True)
class Result:
    """The rounds by number of connections, and the peak megabytes of each process under
    load."""

    rounds: dict[int, list[Sample]]
    memory: dict[str, float]


def run(setting: Setting) -> dict[str, Result]:
    """Run every contender in turn, round by round."""
    contenders = _contenders(setting)
    names = {process.name: process for one in contenders for process in one.processes}
    with running([*names.values()]):
        for contender in contenders:
            load.post(contender.url, max(CONNECTIONS), WARM_UP)
        for number in range(1, setting.rounds + 1):
            for contender in contenders:
                for connections in CONNECTIONS:
                    sample = _measure(contender, connections, setting.seconds)
                    contender.rounds[connections].append(sample)
                    say(
                        f"http {number}/{setting.rounds}  {contender.label}, "
                        f"{connections} connections: {sample.rate:,.0f} requests/s, "
                        f"p50 {sample.p50:.2f} ms"
                    )
        return {one.label: Result(one.rounds, _memory(one)) for one in contenders}


def _contenders(setting: Setting) -> list[Contender]:
    servers = [setting.rabbitmq, setting.servers.postgres]
    kit = setting.kit()
    processes = [*kit.apis, *kit.services]
    path = "/api/v1/data/process"
    contenders = [Contender(KIT, kit.api_url + path, processes, servers)]
    if kit.nginx:
        behind = [kit.nginx, *processes]
        contenders.append(Contender(GATEWAY, kit.url + path, behind, servers))
    app = setting.peer_api("api-faststream", "bench.peers.with_faststream")
    service = setting.peer("faststream", "bench.peers.responder_faststream")
    url = f"{base_url(app)}/process"
    return [*contenders, Contender(FASTSTREAM, url, [app, service], servers)]


def _measure(contender: Contender, connections: int, seconds: int) -> Sample:
    everything = [*contender.processes, *contender.servers]
    before = usage.cpu_seconds(everything)
    seen = load.post(contender.url, connections, seconds)
    return Sample.of(seen, usage.cpu_seconds(everything) - before)


def _memory(contender: Contender) -> dict[str, float]:
    return {each.name: sum(usage.most_resident(each)) for each in contender.processes}
