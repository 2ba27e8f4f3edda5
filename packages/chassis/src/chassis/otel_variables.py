"""OpenTelemetry's own variables, checked before a process takes work.

The SDK reads them in every process: some errors end it late, others are one line in a
log. https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
This module imports nothing of OpenTelemetry, whose import may fail already.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import unquote, urlsplit

SIGNALS = ("TRACES", "METRICS", "LOGS")
OTLP = "OTEL_EXPORTER_OTLP"

#: A check returns what the value must be; None if it is good.
Check = Callable[[str], str | None]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def faults(environment: Mapping[str, str]) -> Iterator[str]:
    """One sentence for each variable that cannot work; without values, which may be
    secrets."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return
    # By the specification an empty variable is an unset one.
    given = {name: value.strip() for name, value in environment.items() if value}
    for pattern, check in _CHECKS:
        for name in sorted(filter(re.compile(pattern).fullmatch, given)):
            if wanted := check(given[name]):
                yield f"{name}: must be {wanted}"
    yield from _batch_faults(given)
    yield from _sampler_faults(given)
    yield from _exporter_faults(given)


def propagator_faults(environment: Mapping[str, str]) -> list[str]:
    """As :func:`faults`, of the one variable that OpenTelemetry reads at import."""
    name = "OTEL_PROPAGATORS"
    wanted = _propagators(environment.get(name, ""))
    return [f"{name}: must be {wanted}"] if wanted else []


def superfluous(environment: Mapping[str, str]) -> list[str]:
    """The variables to remove before the SDK starts: empty ones, and a compression
    ``none``, which the SDK refuses over gRPC."""
    return [
        name
        for name, value in environment.items()
        if name.startswith("OTEL_")
        and (not value.strip() or _is_no_compression(name, value))
    ]


def _is_no_compression(name: str, value: str) -> bool:
    return name.endswith("_COMPRESSION") and value.strip().lower() == "none"


def _one_of(*values: str, exact: bool = False) -> Check:
    def check(value: str) -> str | None:
        found = value if exact else value.lower()
        return None if found in values else " or ".join(values)

    return check


def _number(least: float, most: float, wanted: str, kind: type = int) -> Check:
    def check(value: str) -> str | None:
        try:
            return None if least <= kind(value) <= most else wanted
        except ValueError:
            return wanted

    return check


def _names(group: str, *own: str) -> Check:
    """Names, separated by commas, that installed packages register."""

    def check(value: str) -> str | None:
        known = {*own, *(each.name for each in entry_points(group=group))}
        names = [name.strip() for name in value.split(",") if name.strip()]
        return None if known.issuperset(names) else "one of " + ", ".join(sorted(known))

    return check


_propagators = _names("opentelemetry_propagator", "none")


def _pairs(value: str) -> str | None:
    for pair in filter(None, map(str.strip, value.split(","))):
        name, equals, text = pair.partition("=")
        if not equals or not unquote(name).strip() or not unquote(text).isprintable():
            return "name=value pairs, separated by commas; write a comma as %2C"
    return None


def _headers(value: str) -> str | None:
    for pair in filter(None, map(str.strip, value.split(","))):
        name, _, text = pair.partition("=")
        if not _TOKEN.fullmatch(unquote(name).strip()) or not unquote(text).isascii():
            return "headers as name=value, separated by commas; encode others by %"
    return _pairs(value)


def _file(path: str) -> str | None:
    try:
        Path(path).read_bytes()
    except OSError as error:
        return f"a file that this process can read ({error.strerror})"
    return None


#: The largest number that the SDK's waits accept, in their milliseconds: a day.
_DAY = 86_400_000
_MILLISECONDS = _number(1, _DAY, "milliseconds from 1 to 86400000", float)
_COUNT = _number(0, 2**31, "a number, 0 or above")
_POSITIVE = _number(1, 2**31, "a number above 0")
_SIGNAL = f"{OTLP}(_TRACES|_METRICS|_LOGS)?"

_CHECKS: tuple[tuple[str, Check], ...] = (
    ("OTEL_SDK_DISABLED", _one_of("true", "false")),
    ("OTEL_PROPAGATORS", _propagators),
    ("OTEL_TRACES_EXPORTER", _names("opentelemetry_traces_exporter", "otlp", "none")),
    ("OTEL_METRICS_EXPORTER", _names("opentelemetry_metrics_exporter", "otlp", "none")),
    ("OTEL_LOGS_EXPORTER", _names("opentelemetry_logs_exporter", "otlp", "none")),
    ("OTEL_TRACES_SAMPLER", _names("opentelemetry_traces_sampler")),
    ("OTEL_PYTHON_ID_GENERATOR", _names("opentelemetry_id_generator")),
    (
        "OTEL_METRICS_EXEMPLAR_FILTER",
        _one_of("trace_based", "always_on", "always_off"),
    ),
    ("OTEL_RESOURCE_ATTRIBUTES", _pairs),
    (f"{_SIGNAL}_PROTOCOL", _one_of("grpc", "http/protobuf", exact=True)),
    (f"{_SIGNAL}_HEADERS", _headers),
    (f"{_SIGNAL}_TIMEOUT", _number(0.001, 86_400, "seconds above 0", float)),
    (f"{_SIGNAL}_COMPRESSION", _one_of("gzip", "none", "deflate")),
    (f"{_SIGNAL}_INSECURE", _one_of("true", "false")),
    (f"{_SIGNAL}_(CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE)", _file),
    (
        f"{OTLP}_METRICS_TEMPORALITY_PREFERENCE",
        _one_of("cumulative", "delta", "lowmemory"),
    ),
    (
        f"{OTLP}_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        _one_of("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
    ),
    ("OTEL_(BSP|BLRP)_(SCHEDULE_DELAY|EXPORT_TIMEOUT)", _POSITIVE),
    ("OTEL_(BSP|BLRP)_MAX_(QUEUE|EXPORT_BATCH)_SIZE", _POSITIVE),
    ("OTEL_METRIC_EXPORT_(INTERVAL|TIMEOUT)", _MILLISECONDS),
    (
        "OTEL_((SPAN|EVENT|LINK|LOGRECORD)_)?ATTRIBUTE_(COUNT|VALUE_LENGTH)_LIMIT",
        _COUNT,
    ),
    ("OTEL_SPAN_(EVENT|LINK)_COUNT_LIMIT", _COUNT),
)


def _batch_faults(given: Mapping[str, str]) -> Iterator[str]:
    for kind in ("BSP", "BLRP"):
        batch = given.get(f"OTEL_{kind}_MAX_EXPORT_BATCH_SIZE", "512")
        queue = given.get(f"OTEL_{kind}_MAX_QUEUE_SIZE", "2048")
        if batch.isdecimal() and queue.isdecimal() and int(batch) > int(queue):
            yield (
                f"OTEL_{kind}_MAX_EXPORT_BATCH_SIZE: must not be above "
                f"OTEL_{kind}_MAX_QUEUE_SIZE, by default 2048"
            )


def _sampler_faults(given: Mapping[str, str]) -> Iterator[str]:
    sampler, share = given.get("OTEL_TRACES_SAMPLER", ""), "OTEL_TRACES_SAMPLER_ARG"
    if sampler.endswith("traceidratio"):
        wanted = "a share from 0 to 1"
        if _number(0, 1, wanted, float)(given.get(share, "1")):
            yield f"{share}: must be {wanted}"


def _exporter_faults(given: Mapping[str, str]) -> Iterator[str]:
    for signal in ("", *(f"_{each}" for each in SIGNALS)):
        name = f"{OTLP}{signal}_ENDPOINT"
        protocol = given.get(f"{OTLP}{signal}_PROTOCOL") or given.get(
            f"{OTLP}_PROTOCOL", "grpc"
        )
        compression = given.get(f"{OTLP}{signal}_COMPRESSION", "").lower()
        if protocol == "grpc" and compression == "deflate":
            yield f"{OTLP}{signal}_COMPRESSION: must be gzip or none over gRPC"
        says_tls = any(f"{OTLP}{each}_INSECURE" in given for each in (signal, ""))
        if name in given and not _is_endpoint(
            given[name], bare=protocol == "grpc" and says_tls
        ):
            yield f"{name}: must be a URL such as http://otel-collector:4317"


def _is_endpoint(text: str, *, bare: bool) -> bool:
    """Whether it is a URL; ``bare`` allows host and port alone, as gRPC does."""
    try:
        parts = urlsplit(f"http://{text}" if bare and "://" not in text else text)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not re.search(r"\s", text)
        )
    except ValueError:  # the port
        return False
