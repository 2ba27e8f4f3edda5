"""OpenTelemetry's variables are checked before a process takes work."""

from pathlib import Path

import pytest

from chassis.environment import load
from chassis.otel_variables import faults, propagator_faults, superfluous
from chassis.settings import ServiceSettings

OTLP = "OTEL_EXPORTER_OTLP"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (f"{OTLP}_PROTOCOL", "foo"),
        (f"{OTLP}_PROTOCOL", "http/json"),
        (f"{OTLP}_PROTOCOL", "GRPC"),
        (f"{OTLP}_TRACES_PROTOCOL", "http"),
        (f"{OTLP}_ENDPOINT", "otel-collector:4317"),
        (f"{OTLP}_ENDPOINT", "http://"),
        (f"{OTLP}_ENDPOINT", "http://host:port"),
        (f"{OTLP}_LOGS_ENDPOINT", "ftp://host"),
        (f"{OTLP}_HEADERS", "sesame"),
        (f"{OTLP}_HEADERS", "a b=sesame"),
        (f"{OTLP}_HEADERS", "key=sesame\n2"),
        (f"{OTLP}_METRICS_HEADERS", "=sesame"),
        (f"{OTLP}_TIMEOUT", "10s"),
        (f"{OTLP}_TRACES_TIMEOUT", "0"),
        (f"{OTLP}_TIMEOUT", "nan"),
        (f"{OTLP}_COMPRESSION", "zip"),
        (f"{OTLP}_COMPRESSION", "deflate"),
        (f"{OTLP}_INSECURE", "maybe"),
        (f"{OTLP}_CERTIFICATE", "/gone.pem"),
        (f"{OTLP}_LOGS_CLIENT_KEY", "/gone.pem"),
        (f"{OTLP}_METRICS_TEMPORALITY_PREFERENCE", "sometimes"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_EXPORTER", "oltp"),
        ("OTEL_METRICS_EXPORTER", "otlp,zipkin"),
        ("OTEL_PROPAGATORS", "tracecontext,foo"),
        (f"{OTLP}_ENDPOINT", "http://h:0"),
        (f"{OTLP}_ENDPOINT", "http://h/a b"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=a,zone"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=a"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=a%0Ab"),
        (f"{OTLP}_HEADERS", "key=a,b c=sesame"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "all"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-1"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-1"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "many"),
        ("OTEL_PYTHON_ID_GENERATOR", "foo"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(ServiceSettings)
    assert f"  {name}: must " in str(ended.value)
    assert "sesame" not in str(ended.value)


def test_the_share_of_a_sampler() -> None:
    ratio = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}
    for wrong in ("2", "some", "-0.1"):
        (fault,) = faults({**ratio, "OTEL_TRACES_SAMPLER_ARG": wrong})
        assert fault.startswith("OTEL_TRACES_SAMPLER_ARG: ")
    assert not list(faults({**ratio, "OTEL_TRACES_SAMPLER_ARG": "0.25"}))


def test_good_values(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    good = {
        f"{OTLP}_ENDPOINT": "https://[::1]:4317",
        f"{OTLP}_LOGS_ENDPOINT": "https://collector/v1/logs",
        f"{OTLP}_LOGS_PROTOCOL": "http/protobuf",
        f"{OTLP}_HEADERS": "Authorization=Basic%20YTpi,x-team=a==",
        f"{OTLP}_TRACES_HEADERS": "api-key=a b",
        f"{OTLP}_TIMEOUT": "2.5",
        f"{OTLP}_LOGS_COMPRESSION": "deflate",
        f"{OTLP}_CERTIFICATE": str(file),
        f"{OTLP}_PROTOCOL": "",
        "OTEL_TRACES_SAMPLER": "always_on",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "otlp,console",
        "OTEL_PROPAGATORS": "tracecontext, baggage",
        "OTEL_RESOURCE_ATTRIBUTES": "team=a,zone=b%2Cc,query=a=b",
        "OTEL_METRIC_EXPORT_TIMEOUT": "86400000",
        "OTEL_METRIC_EXPORT_INTERVAL": "1",
        "OTEL_BSP_MAX_QUEUE_SIZE": "8192",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4096",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "0",
    }
    assert not list(faults(good))
    bare = {f"{OTLP}_ENDPOINT": "collector:4317", f"{OTLP}_INSECURE": "true"}
    assert not list(faults(bare))


def test_a_disabled_sdk_reads_nothing() -> None:
    wrong = {f"{OTLP}_PROTOCOL": "foo", "OTEL_SDK_DISABLED": "true"}
    assert not list(faults(wrong))


def test_propagators_are_read_even_without_an_sdk() -> None:
    (fault,) = propagator_faults({"OTEL_PROPAGATORS": "foo"})
    assert "must be one of " in fault and "tracecontext" in fault
    assert not propagator_faults({"OTEL_PROPAGATORS": "none"})
    assert not propagator_faults({})


def test_empty_variables_count_as_unset() -> None:
    given = {"OTEL_BSP_SCHEDULE_DELAY": " ", f"{OTLP}_COMPRESSION": "none", "HOME": ""}
    given |= {"OTEL_TRACES_EXPORTER": "none", f"{OTLP}_TRACES_COMPRESSION": "gzip"}
    assert set(superfluous(given)) == {"OTEL_BSP_SCHEDULE_DELAY", f"{OTLP}_COMPRESSION"}
