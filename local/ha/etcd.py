"""etcd, in which Patroni keeps who the primary is."""

import json
import shutil
import time
import urllib.error
import urllib.request
from typing import Any

from local import ports
from local.ha.network import Host
from local.ha.node import Node
from local.process import ProcessFailed
from local.servers.base import Command, plain_environment
from local.state import State

CLIENTS, PEERS = 2379, 2380


class Etcd(Node):
    """A member; a replacement joins the others."""

    kind = "etcd"

    def __init__(
        self, state: State, host: Host, client_port: int = CLIENTS, peers: int = PEERS
    ) -> None:
        super().__init__(state, host, client_port)
        self.peer_url = f"http://{ports.at(peers, host.address)}"
        self.others: list[Etcd] = []

    def command(self) -> Command:
        binary = shutil.which("etcd")
        if binary is None:
            raise ProcessFailed("there is no etcd on this machine")
        if self.is_replacement:
            next(each for each in self.others if each.ready()).replace(self)
        state = "existing" if self.is_replacement else "new"
        url = f"http://{self.at}"
        members = {each.name: each.peer_url for each in (self, *self.others)}
        options = {
            "name": self.name,
            "data-dir": "data",
            "listen-client-urls": url,
            "advertise-client-urls": url,
            "listen-peer-urls": self.peer_url,
            "initial-advertise-peer-urls": self.peer_url,
            "initial-cluster": ",".join(f"{k}={v}" for k, v in members.items()),
            "initial-cluster-state": state,
            # All share two cores: the usual second would end in needless elections.
            "heartbeat-interval": "200",
            "election-timeout": "1500",
            "logger": "zap",
        }
        words = [word for k, v in options.items() for word in (f"--{k}", v)]
        argv = [*self.machine.prefix, binary, *words]
        return Command(argv, self.folder, plain_environment())

    def ready(self) -> bool:
        try:
            # Reading through the log needs a leader.
            return "header" in self._ask("kv/range", {"key": "AA=="})
        except (OSError, ValueError):
            return False

    def replace(self, member: "Etcd") -> None:
        """Have the cluster forget a member that lost its data, and take a new one."""
        for each in self._ask("cluster/member/list", {})["members"]:
            if member.peer_url in each["peerURLs"]:
                self._ask("cluster/member/remove", {"ID": each["ID"]})
        # It refuses until it has seen both others for five seconds.
        until = time.monotonic() + 15
        while True:
            try:
                self._ask("cluster/member/add", {"peerURLs": [member.peer_url]})
                return
            except urllib.error.HTTPError:
                if time.monotonic() > until:
                    raise
            self.state.cancelled.wait(0.3)

    def _ask(self, path: str, body: dict[str, object]) -> Any:
        request = urllib.request.Request(
            f"http://{self.at}/v3/{path}", data=json.dumps(body).encode()
        )
        with ports.DIRECT.open(request, timeout=2) as answer:
            return json.load(answer)
