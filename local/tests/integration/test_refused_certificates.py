"""The gateway and the exporters of telemetry refuse a server whose certificate is
wrong, and their logs say why."""

import os
import re
import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest

from local import certificates, ports
from local.servers.nginx import Nginx, find_binary
from local.state import State
from local.tests.wrong_certificates import KINDS, TlsPort, wrong
from local.tls import Tls, open_url

SAID = {
    "stranger": "certificate verify error: .*(issuer|self-signed|signature|first cert)",
    "expired": "certificate verify error: .*has expired",
    "wrong name": 'certificate does not match "api"',
}


def show(folder: Path, kind: str) -> tuple[Tls, TlsPort]:
    """What clients trust, and a server that shows something else."""
    trusted, shown = wrong(folder, kind)
    # One name that the gateway does not ask for.
    return trusted, TlsPort(shown.server("redis" if kind == "wrong name" else "api"))


@pytest.mark.skipif(find_binary() is None, reason="there is no nginx")
@pytest.mark.parametrize("kind", KINDS)
def test_the_gateway_refuses_an_api(tmp_path: Path, kind: str) -> None:
    trusted, api = show(tmp_path, kind)
    # The gateway's own certificate is good.
    if kind != "stranger":
        good = Tls(tmp_path / "good")
        for path in trusted.folder.glob("ca.*"):
            good.folder.mkdir(exist_ok=True)
            (good.folder / path.name).write_bytes(path.read_bytes())
        certificates.ensure(good.folder, lambda _: None)
        trusted = good
    state = State(tmp_path / "state", trusted)
    state.acquire()
    nginx = Nginx(state, ports.free_port(), [api.port])
    nginx.start()
    try:
        with pytest.raises(urllib.error.HTTPError) as answer:
            open_url(f"{nginx.url}/", 5, trusted)
    finally:
        nginx.stop()
        state.release()
        api.listener.close()
    assert answer.value.code == 502
    assert re.search(SAID[kind], nginx.child.log.read_text())
    assert api.accepted and not api.heard


EXPORT = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from {module} import OTLPSpanExporter
import logging
logging.basicConfig()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(timeout=2)))
provider.get_tracer("a").start_span("secret").end()
provider.shutdown()
"""
MODULES = {
    protocol: f"opentelemetry.exporter.otlp.proto.{protocol}.trace_exporter"
    for protocol in ("grpc", "http")
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", MODULES)
def test_no_telemetry_goes_to_a_stranger(
    tmp_path: Path, protocol: str, kind: str
) -> None:
    trusted, collector = show(tmp_path, kind)
    path = "/v1/traces" if protocol == "http" else ""
    done = subprocess.run(
        [sys.executable, "-c", EXPORT.format(module=MODULES[protocol])],
        env={
            **os.environ,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": (
                f"https://{ports.at(collector.port)}{path}"
            ),
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(trusted.ca),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    collector.listener.close()
    assert collector.accepted and not collector.heard
    words = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed")
    assert any(word in done.stderr for word in words), done.stderr
