"""Dashboard and alerts query metrics that the processes send, and each alert links to a
page."""

import re
from pathlib import Path

from observability import signoz
from tests.integration.reported import METRICS

ROOT = Path(__file__).parents[2]

# This metric exists only after work was lost.
RARE = {"app.sweep.lost_tasks"}

ATTRIBUTES = {
    *("http.route", "http.response.status_code", "error.type", "service.name"),
    *("messaging.destination.name", "rabbitmq.message.state"),
    *("app.task.status", "app.sweep.outcome", "app.idempotency.outcome"),
    *("db.client.connection.state", "app.event.type"),
}


def test_every_query_names_metrics_that_are_sent() -> None:
    sent = {name for metrics in METRICS.values() for name, _, _ in metrics} | RARE
    panels = [panel.query for panel in signoz.PANELS]
    for query in [*panels, *(alert.query for alert in signoz.ALERTS)]:
        names = re.findall(r'\{"([^"]+)"', query)
        assert names
        for name in names:
            plain = re.sub(r"\.(bucket|count|sum)$", "", name)
            assert {name, plain} & sent, name
        quoted = set(re.findall(r'"([a-z_]+\.[a-z_.]+)"', query)) - set(names)
        assert quoted <= ATTRIBUTES


def test_the_files_match_the_code() -> None:
    for path, text in signoz.files().items():
        assert path.read_text() == text, "run: python3 -m observability.signoz"


WITHOUT_ALERT = ("Rotate a password",)


def test_every_alert_has_its_page_in_the_runbook() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / signoz.RUNBOOK).read_text(), re.M)
    pages = [heading for heading in headings if heading not in WITHOUT_ALERT]
    assert sorted(pages) == sorted(alert.runbook for alert in signoz.ALERTS)


def test_every_panel_has_the_unit_of_its_metric() -> None:
    units = {name: unit for metrics in METRICS.values() for name, unit, _ in metrics}
    for panel in signoz.PANELS:
        name = re.findall(r'\{"([^"]+)"', panel.query)[0]
        unit = units.get(re.sub(r"\.(bucket|count|sum)$", "", name), units.get(name))
        expected = {{"s": "s", "seconds": "s", "By": "bytes"}.get(unit or "", "none")}
        is_quotient = " / " in panel.query
        if "rate(" in panel.query and not is_quotient and not name.endswith(".bucket"):
            # Seconds of a processor in a second are a share of it.
            per_second = unit == "s" and not name.endswith(".count")
            expected = {"percentunit"} if per_second else {"cps", "reqps"}
        assert panel.unit in expected, panel.title


# By SigNoz's documentation.
ABOVE, ALL_THE_TIME = "1", "2"


def test_an_alert_fires_while_its_query_stays_above_its_bound() -> None:
    for alert, made in zip(signoz.ALERTS, signoz.alerts(), strict=True):
        condition = made["condition"]
        queries = condition["compositeQuery"]["promQueries"]
        asked = {"query": alert.query, "disabled": False}
        assert queries == {condition["selectedQueryName"]: asked}
        assert (condition["op"], condition["matchType"]) == (ABOVE, ALL_THE_TIME)
        assert (condition["target"], made["evalWindow"]) == (alert.above, "5m0s")


def test_an_alert_leads_to_a_heading_of_the_runbook() -> None:
    text = (ROOT / signoz.RUNBOOK).read_text()
    headings = re.findall(r"^## (.*)$", text, re.M)
    links = {f"{signoz.RUNBOOK}#{each.lower().replace(' ', '-')}" for each in headings}
    for made in signoz.alerts():
        assert made["annotations"]["description"] in links


def test_a_quantile_keeps_the_buckets_apart() -> None:
    queries = [panel.query for panel in signoz.PANELS]
    queries += [alert.query for alert in signoz.ALERTS]
    quantiles = [query for query in queries if query.startswith("histogram_quantile(")]
    assert quantiles
    for query in quantiles:
        assert re.match(r"histogram_quantile\([\d.]+, sum by \(le[,)]", query), query


def test_a_panel_with_a_legend_has_a_line_for_each_of_its_values() -> None:
    for panel in signoz.PANELS:
        grouped = re.search(r'\bby \([^)]*"|, "task"\)', panel.query)
        assert bool(grouped) == bool(panel.legend), panel.title


def test_no_panel_covers_another() -> None:
    """SigNoz's grid has twelve columns."""
    taken: set[tuple[int, int]] = set()
    for each in signoz.dashboard()["layout"]:
        columns = range(each["x"], each["x"] + each["w"])
        rows = range(each["y"], each["y"] + each["h"])
        cells = {(column, row) for column in columns for row in rows}
        assert cells and columns.stop <= 12 and not cells & taken, each["i"]
        taken |= cells
