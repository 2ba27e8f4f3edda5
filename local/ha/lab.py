"""The lab: the clusters, and two of each of our processes over them, behind nginx."""

from collections.abc import Callable, Mapping

from local import apps
from local.apps import App
from local.caretaker import Caretaker
from local.ha import servers
from local.ha.network import ZONES, Loopback, choose
from local.ha.node import Node
from local.ha.servers import Clusters
from local.ports import free_port
from local.process import ProcessFailed
from local.registry import registered
from local.servers.base import Server
from local.servers.nginx import Nginx, find_binary, gateway_settings
from local.stack import each, migrate, start_all
from local.state import State, leftovers

REJOINING = 60.0  # seconds until a node that was cut off is a member again
TWO = ZONES[:2]  # the third zone has servers alone


class Lab:
    """Start it with `with`; then each part may be lost and replaced."""

    def __init__(self, state: State, network: Loopback, env: Mapping[str, str]) -> None:
        self.state, self.network = state, network
        self.clusters = Clusters(state, network)
        self.env = {**self.clusters.environment(), **env}
        self.apis = [self._api(zone) for zone in TWO]
        self.workers = [self._worker(zone) for zone in TWO]
        self.beats = [apps.beat(state, self.env, name=f"beat-{zone}") for zone in TWO]
        self.relays = [self._relay(zone) for zone in TWO]
        self.services = [app for zone in TWO for app in self._services(zone)]
        self.nginx = Nginx(
            state,
            free_port(),
            [app.port for app in self.apis],
            settings=gateway_settings(self.env),
        )
        self._caretaker = Caretaker(lambda: self.parts)

    @classmethod
    def create(
        cls, state: State, env: Mapping[str, str], say: Callable[[str], None]
    ) -> "Lab":
        """Create the lab. Raises ProcessFailed where a server is missing."""
        servers.require(say)
        if find_binary() is None:
            raise ProcessFailed("this needs nginx on this machine")
        network = choose(state)
        if not network.can_cut:
            say(f"no node can be cut off here, only stopped: {network.why}")
        return cls(state, network, env)

    @property
    def apps(self) -> list[App]:
        """Our processes, in stopping order: intake first."""
        return [*self.apis, *self.beats, *self.relays, *self.workers, *self.services]

    @property
    def parts(self) -> list[Server]:
        """Everything that may be lost."""
        return [*self.apps, *self.clusters.nodes]

    def zone(self, name: str) -> list[Server]:
        """Everything in one zone."""
        return [part for part in self.parts if part.name.endswith(f"-{name}")]

    def __enter__(self) -> "Lab":
        try:
            self.network.open()
            self.clusters.start()
            migrate(self.env)
            start_all(self.services)
            start_all([*self.apps, self.nginx])
        except BaseException:
            self.__exit__()
            raise
        self._caretaker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._caretaker.stop()
        for process in [self.nginx, *self.apps]:
            process.stop()
        self.clusters.stop()
        self.network.close()

    def lose(self, *parts: Server) -> None:
        """Kill parts at once, for good: nothing starts them again."""
        self._caretaker.left_alone.update(parts)
        each(lambda part: part.kill(), parts)

    def replace(self, *parts: Server) -> None:
        """Start new ones in the places of the lost; returns when they have joined."""
        nodes = [part for part in parts if isinstance(part, Node)]
        for node in nodes:
            node.clear()
        # The members of etcd before those of Patroni, which need them.
        for node in nodes:
            node.start()
            self.clusters.whole_kind(node)
        start_all(part for part in parts if part not in nodes)
        self._caretaker.left_alone.difference_update(parts)

    def restart(self, part: Server) -> None:
        """Stop a part in order and start it again, with its data."""
        self._caretaker.left_alone.add(part)
        try:
            if isinstance(part, Node):
                part.step_down()
            part.stop()
            part.start()
            if isinstance(part, Node):
                self.clusters.whole_kind(part)
        finally:
            self._caretaker.left_alone.discard(part)

    def cut(self, node: Node) -> None:
        """Drop its packets; where that is not possible, stop it."""
        if self.network.can_cut:
            self.network.cut(node.machine)
        else:
            node.pause()

    def mend(self, node: Node) -> None:
        """The end of `cut`; returns when the node is a full member again."""
        if self.network.can_cut:
            self.network.mend(node.machine)
        else:
            node.resume()
        try:
            self.clusters.whole_kind(node, REJOINING)
        except ProcessFailed:
            # RabbitMQ 3.10 may stand still when it starts again after its pause. A
            # probe would restart it.
            self.restart(node)

    def pause(self, seconds: float) -> None:
        """Leave everything as it is for a while."""
        self._caretaker.pause(seconds)

    def where(self) -> str:
        """Each part, its address, and how to kill it."""
        lines = [f"gateway: {self.nginx.url}"]
        for part in self.parts:
            found = leftovers(self.state.path, part.name)
            ids = {process.pid for process in found}
            roots = [each.pid for each in found if each.ppid() not in ids]
            kill = " ".join(map(str, sorted(roots)))
            lines.append(f"  {part.name:14} {part.address:28} kill -9 {kill}")
        return "\n".join(lines)

    def _api(self, zone: str) -> App:
        app = apps.api(f"api-{zone}", self.state, self.env, free_port())
        app.env = {**app.env, "PGAPPNAME": app.name}
        return app

    def _worker(self, zone: str) -> App:
        worker = apps.worker(
            self.state, self.env, self._all_wait, name=f"worker-{zone}"
        )
        worker.arguments += ["--concurrency", "2"]
        return worker

    def _all_wait(self) -> bool:
        """Whether each running worker waits for tasks."""
        redis = self.clusters.primary_redis()
        running = sum(worker.alive for worker in self.workers)
        return redis is not None and redis.waiting() >= running

    def _relay(self, zone: str) -> App:
        # PostgreSQL shows the relays by their names.
        name = f"event-relay-{zone}"
        return apps.event_relay(name, self.state, {**self.env, "PGAPPNAME": name})

    def _services(self, zone: str) -> list[App]:
        queues = registered()
        return [
            apps.service(
                f"{folder.name}-{zone}",
                folder,
                self.state,
                apps.service_environment(folder, self.env, queues),
            )
            for folder in apps.service_folders()
        ]
