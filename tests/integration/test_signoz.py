"""Dashboard and alerts query metrics that the processes send, and each alert links to a
page."""

import re
from pathlib import Path

from chassis import errors
from observability import signoz
from tests.integration.reported import LABELS, METRICS

ROOT = Path(__file__).parents[2]

# This metric exists only after work was lost.
RARE = {"app.sweep.lost_tasks": "sum"}

KINDS = {name: kind for each in METRICS.values() for name, _, kind in each} | RARE

QUERIES = [
    *(panel.query for panel in signoz.PANELS),
    *(alert.query for alert in signoz.ALERTS),
]

# Values by which a query may filter.
VALUES = {
    "error.type": {getattr(each, "code", "") for each in vars(errors).values()} - {""},
    "app.task.status": {"Processing", "Success", "Failure"},
    "rabbitmq.message.state": {"ready", "unacknowledged"},
}


def metrics(query: str) -> list[str]:
    """The metrics of a query, with the part of a histogram that it asks for."""
    return re.findall(r'\{"([^"]+)"', query)


def plain(name: str) -> str:
    return name if name in KINDS else re.sub(r"\.(bucket|count|sum)$", "", name)


def grouping(query: str) -> list[str]:
    """The labels for whose values a query has a line each."""
    group = re.search(r"\bby \(([^)]*)\)", query)
    return re.findall(r'"([^"]+)"', group[1]) if group else []


def seconds(text: str) -> int:
    """SigNoz's durations, such as 5m0s."""
    found = re.findall(r"(\d+)([hms])", text)
    return sum(
        int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in found
    )


def test_every_query_names_metrics_that_are_sent() -> None:
    for query in QUERIES:
        names = {plain(name) for name in metrics(query)}
        assert names and names <= KINDS.keys(), query


def test_a_query_names_labels_that_its_metrics_have() -> None:
    for query in QUERIES:
        filters = re.findall(r'"([a-z_.]+)"(?:=~|!~|!=|=)"', query)
        for name in metrics(query):
            assert {*filters, *grouping(query)} <= LABELS.get(plain(name), set()), query


def test_a_query_filters_by_values_that_processes_send() -> None:
    for query in QUERIES:
        for label, value in re.findall(r'"([a-z_.]+)"="([^"]+)"', query):
            assert value in VALUES[label], query


def test_only_what_each_process_counts_for_itself_is_added_up() -> None:
    """Several processes may tell how long the same queue is."""
    for query in QUERIES:
        for name in metrics(query):
            aggregate = "max" if KINDS[plain(name)] == "gauge" else "sum"
            inner = rf'\b{aggregate} ?(by \([^)]*\) )?\((rate\()?\{{"{re.escape(name)}"'
            assert re.search(inner, query), query


def test_a_quotient_is_a_mean_or_a_share() -> None:
    quotients = [query.split(" / ") for query in QUERIES if " / " in query]
    assert quotients
    for part, whole in quotients:
        all_of_it = re.sub(r', "[^}]*', "", part)
        assert part != whole == all_of_it.replace('.sum"}', '.count"}'), part


def test_an_alert_about_a_share_has_a_bound_below_one() -> None:
    bounds = [alert.above for alert in signoz.ALERTS if " / " in alert.query]
    assert bounds and all(0 < above < 1 for above in bounds)


def test_the_files_match_the_code() -> None:
    for path, text in signoz.files().items():
        assert path.read_text() == text, "run: python3 -m observability.signoz"


WITHOUT_ALERT = ("Rotate a password",)


def test_every_alert_has_its_page_in_the_runbook() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / signoz.RUNBOOK).read_text(), re.M)
    pages = [heading for heading in headings if heading not in WITHOUT_ALERT]
    assert sorted(pages) == sorted(alert.runbook for alert in signoz.ALERTS)


def test_every_panel_has_the_unit_of_its_metric() -> None:
    units = {name: unit for each in METRICS.values() for name, unit, _ in each}
    for panel in signoz.PANELS:
        name = metrics(panel.query)[0]
        unit = units.get(plain(name))
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
        assert made["ruleType"] == f'{condition["compositeQuery"]["queryType"]}_rule'


def test_an_alert_is_asked_for_several_times_in_its_window() -> None:
    for made in signoz.alerts():
        assert 0 < 2 * seconds(made["frequency"]) <= seconds(made["evalWindow"])


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


def test_a_percentile_is_the_one_of_the_title() -> None:
    for panel in signoz.PANELS:
        named = re.findall(r"\bp(\d\d)\b", panel.title)
        asked = re.findall(r"histogram_quantile\(0\.(\d+),", panel.query)
        assert named == [digits.ljust(2, "0") for digits in asked], panel.title


def test_a_line_is_named_by_what_tells_it_from_the_others() -> None:
    """SigNoz puts in values for `{{label}}`; other text would name all lines alike."""
    for panel, widget in zip(signoz.PANELS, signoz.dashboard()["widgets"], strict=True):
        (query,) = widget["query"][widget["query"]["queryType"]]
        named = re.findall(r"\{\{(.*?)\}\}", query["legend"])
        assert named == grouping(panel.query), panel.title
        assert (query["query"], query["disabled"]) == (panel.query, False)


def test_each_panel_has_its_place() -> None:
    made = signoz.dashboard()
    places = [each["i"] for each in made["layout"]]
    assert sorted(places) == sorted({widget["id"] for widget in made["widgets"]})


def test_no_panel_covers_another() -> None:
    """SigNoz's grid has twelve columns."""
    taken: set[tuple[int, int]] = set()
    for each in signoz.dashboard()["layout"]:
        columns = range(each["x"], each["x"] + each["w"])
        rows = range(each["y"], each["y"] + each["h"])
        cells = {(column, row) for column in columns for row in rows}
        assert cells and columns.stop <= 12 and not cells & taken, each["i"]
        taken |= cells
