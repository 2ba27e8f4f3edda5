"""nginx with the project's own `nginx_config.conf`.

That file is a template in the official image's format: the environment replaces
`${NAME}`, and the result is included inside `http {}`. nginx's own variables have no
braces and stay.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

from dotenv import dotenv_values

from local import ports
from local.process import ProcessFailed
from local.servers.base import Command, Server, plain_environment
from local.servers.nginx_settings import check
from local.state import LOCAL, State
from local.tls import scheme

TEMPLATE = LOCAL.parent / "nginx_config.conf"
EXAMPLE = LOCAL.parent / ".env.example"  # contains the defaults of nginx's settings

ACCESS_LOG = "nginx-access"  # one of the stack's logs

# Paths are relative to the prefix, the server's folder.
_MAIN = """\
daemon off;
{user}
worker_processes auto;
pid nginx.pid;
worker_rlimit_nofile 8192;
worker_shutdown_timeout 50s;
events {{ worker_connections 4096; }}
http {{
    default_type application/octet-stream;
    access_log off;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    {trusted}
    {tls}
    include site.conf;
}}
"""

# As in deploy/components/tls/gateway-tls.conf. The API's name is `api`.
TLS_DIRECTIVES = """\
ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;
    ssl_session_timeout 1d;
    ssl_session_tickets off;
    proxy_ssl_trusted_certificate ca.crt;
    proxy_ssl_verify on;
    proxy_ssl_name api;
    proxy_ssl_server_name on;"""


def find_binary() -> str | None:
    """The machine's nginx; its folder is often not on an ordinary user's PATH."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which("nginx", path=path)


def render(template: str, variables: Mapping[str, str]) -> str:
    """Replace `${NAME}` if `variables` has the name, and nothing else."""
    return re.sub(
        r"\$\{(\w+)}", lambda found: variables.get(found[1], found[0]), template
    )


def gateway_settings(env: Mapping[str, str]) -> dict[str, str]:
    """Those of an environment, such as one that has what `.env` has."""
    return {name: value for name, value in env.items() if is_ours(name)}


def is_ours(variable: str) -> bool:
    """Whether it is a setting of the gateway."""
    return variable.startswith(("NGINX_", "CORS_"))


def trusted_proxies(listed: str) -> str:
    """The directives for NGINX_TRUSTED_PROXIES, as in deploy/nginx/trusted.sh.

    Raises:
        ProcessFailed: it lists something else than addresses and networks.
    """
    proxies = listed.replace(",", " ").split()
    try:
        for proxy in proxies:
            ip_network(proxy)
    except ValueError as error:
        raise ProcessFailed(
            "NGINX_TRUSTED_PROXIES: list addresses and networks, such as "
            f"10.0.0.0/8,192.0.2.7: {error}"
        ) from error
    known = " ".join(f"{proxy} 1;" for proxy in proxies)
    lines = [f"geo $realip_remote_addr $is_trusted_proxy {{ default 0; {known} }}"]
    lines += [f"set_real_ip_from {proxy};" for proxy in proxies]
    if proxies:
        lines += ["real_ip_header X-Forwarded-For;", "real_ip_recursive on;"]
    return "\n    ".join(lines)


class Nginx(Server):
    """The gateway in front of one or several API processes."""

    name = "nginx"
    stop_timeout = 5.0

    def __init__(
        self,
        state: State,
        port: int,
        api_ports: list[int],
        template: Path = TEMPLATE,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`settings` are NGINX_... variables that override the environment."""
        super().__init__(state, port)
        self.api_ports = api_ports
        self.template = template
        self.settings = settings or {}

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"{scheme(self.state.tls)}://{ports.at(self.port)}"

    @property
    def address(self) -> str:
        return self.url

    def version(self) -> str:
        said = subprocess.run(
            [find_binary() or "nginx", "-v"], capture_output=True, text=True
        )
        return said.stderr.strip().rpartition("/")[2].partition(" ")[0]

    def command(self) -> Command:
        binary = find_binary()
        if binary is None:
            raise ProcessFailed("there is no nginx on this machine")
        (self.folder / "temp").mkdir(exist_ok=True)
        self.configure()
        argv = [binary, "-p", f"{self.folder}/", "-c", "nginx.conf", "-e", "stderr"]
        return Command(argv, self.folder, plain_environment())

    def configure(self) -> None:
        """Write the configuration; `reload` makes a running nginx use it."""
        tls = self.state.tls
        if tls:
            tls.place("nginx", self.folder)
        # The template says `server ${API_UPSTREAM};`, which can expand to several.
        upstream = "; server ".join(map(ports.at, self.api_ports))
        # `listen` also takes an address: here only this machine is served.
        listen = ports.at(self.port)
        variables = {
            **{k: v or "" for k, v in dotenv_values(EXAMPLE).items() if is_ours(k)},
            **gateway_settings(os.environ),
            "NGINX_PORT": f"{listen} ssl" if tls else listen,
            "NGINX_API_SCHEME": scheme(tls),
            "API_UPSTREAM": upstream,
            "NGINX_ACCESS_LOG": f"../logs/{ACCESS_LOG}.log",
            **self.settings,
        }
        check(variables)
        site = render(self.template.read_text(), variables)
        (self.folder / "site.conf").write_text(site)
        # Root's workers would run as `nobody`, who may not enter a private folder.
        user = "user root;" if os.geteuid() == 0 else ""
        trusted = trusted_proxies(variables.get("NGINX_TRUSTED_PROXIES", ""))
        main = _MAIN.format(
            user=user, trusted=trusted, tls=TLS_DIRECTIVES if tls else ""
        )
        (self.folder / "nginx.conf").write_text(main)

    def reload(self) -> None:
        """Send SIGHUP: new workers use the new configuration, old ones finish their
        work."""
        self.configure()
        self.child.send(signal.SIGHUP)

    def ready(self) -> bool:
        return ports.accepts(self.port)
