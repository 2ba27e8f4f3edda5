"""The API: ``python main.py``, or any ASGI server with ``main:app``."""

import uvicorn

from app.api.protocol import PROTOCOLS
from app.application import SERVICE, create_app
from app.core.config import load_settings
from chassis.logs import configure_logging

settings = load_settings()
app = create_app(settings)

# For `::`, uvicorn's only process would listen on IPv6 alone; several listen on both.
takes_both = settings.api_host == "::" and settings.web_concurrency == 1

if __name__ == "__main__":
    configure_logging(SERVICE, settings.log_level, settings.log_format)
    uvicorn.run(
        "main:app",
        host="" if takes_both else settings.api_host,
        port=settings.api_port,
        workers=settings.web_concurrency,
        loop="uvloop",
        **PROTOCOLS,
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=settings.tls.cert_file,
        ssl_keyfile=settings.tls.key_file,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        # Longer than nginx keeps an idle connection: it must be nginx that closes.
        timeout_keep_alive=75,
        # On a busy machine a process may be slow to answer its supervisor. To kill it
        # would lose its requests; /health/live is what finds one that hangs.
        timeout_worker_healthcheck=30,
        # Longer than the longest request, shorter than the orchestrator's patience.
        timeout_graceful_shutdown=int(settings.rpc.timeout_seconds) + 5,
    )
