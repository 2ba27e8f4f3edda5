"""Records and log rows: how they are kept, paged, filtered and deleted."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.e2e.client import LOGS, PROCESS, RECORDS, Api, assert_problem


def test_a_record_contains_request_and_outcome(api: Api) -> None:
    record = api.process("hello", "uppercase")

    assert set(record) == {
        "id",
        "task_id",
        "queue_name",
        "owner",
        "payload",
        "description",
        "task_type",
        "task_status",
        "outcome",
        "created_at",
        "updated_at",
    }
    assert record["queue_name"] == "data_queue"
    created = datetime.fromisoformat(record["created_at"])
    assert created.tzinfo is not None
    assert datetime.now(created.tzinfo) - created < timedelta(minutes=5)


@pytest.mark.parametrize("way", ["process", "process_async"])
def test_start_and_end_of_a_call_are_logged(api: Api, way: str) -> None:
    record = getattr(api, way)("hello", "reverse")

    end, start = api.get_json(LOGS, task_id=record["task_id"])

    assert (start["status"], end["status"]) == ("start", "end")
    assert start["correlation_id"] == end["correlation_id"]
    for row in (start, end):
        assert row["task_id"] == record["task_id"]
        assert row["queue_name"] == "data_queue"
        assert row["service_name"] == "data"
        assert row["description"] == "reverse"
    assert (start["task_type"], end["task_type"]) == (None, "string")
    assert start["id"] < end["id"]


@pytest.mark.parametrize("way", ["process", "process-async"])
def test_the_request_id_names_the_log_rows(api: Api, way: str) -> None:
    request_id = f"e2e:{secrets.token_hex(8)}/a@b.c+d=_-"

    answer = api.send(
        f"/api/v1/data/{way}", b'{"payload": 1}', **{"X-Request-ID": request_id}
    )

    assert answer.headers["X-Request-ID"] == request_id
    task_id = answer.headers["Location"].rpartition("/")[2]
    if way == "process-async":
        api.wait_ended(task_id)
    rows = api.get_json(LOGS, correlation_id=request_id)
    assert [row["status"] for row in rows] == ["end", "start"]
    assert {row["task_id"] for row in rows} == {task_id}


def test_a_refused_call_leaves_its_log_and_no_record(api: Api) -> None:
    request_id = secrets.token_hex(8)
    newest = api.process("a mark")["id"]

    answer = api.send(
        PROCESS,
        b'{"payload": [1, "a"], "description": "sort"}',
        **{"X-Request-ID": request_id},
    )

    assert_problem(answer, 422, "unsortable_list")
    rows = api.get_json(LOGS, correlation_id=request_id)
    assert [row["status"] for row in rows] == ["unsortable_list", "start"]
    assert api.get_json(RECORDS, limit=1)[0]["id"] == newest


def test_a_repeated_request_id_keeps_logs_apart(api: Api) -> None:
    request_id = secrets.token_hex(8)

    def send(number: int) -> int:
        body = b'{"payload": %d, "description": "double"}' % number
        answer = api.send(PROCESS, body, **{"X-Request-ID": request_id})
        return int(answer.json()["outcome"]["output"])

    with ThreadPoolExecutor(max_workers=16) as pool:
        assert list(pool.map(send, range(64))) == [2 * n for n in range(64)]
    rows = [row for page in api.pages(LOGS, correlation_id=request_id) for row in page]
    assert len(rows) == 2 * 64
    assert len({row["task_id"] for row in rows}) == 64


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "The `Link` header points to the next page by id, so new rows cause neither "
    "duplicates nor gaps.",
)
def test_links_reach_all_records_while_new_ones_arrive(api: Api) -> None:
    ours = [api.process(f"page {number}")["id"] for number in range(25)]
    seen: list[int] = []

    for page in api.pages(RECORDS, limit=7):
        assert len(page) <= 7
        seen += [row["id"] for row in page]
        if len(seen) < 40:
            api.process("a newer one")  # an offset would show a row twice now

    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen))
    assert set(ours) <= set(seen)


def test_a_link_keeps_limit_and_filters(api: Api) -> None:
    for number in range(5):
        api.process(number)
    answer = api.http.get(RECORDS, params={"limit": 2, "task_type": "number"})

    following = api.http.get(answer.links["next"]["url"])

    rows = answer.json() + following.json()
    assert len(rows) == 4
    assert {row["task_type"] for row in rows} == {"number"}
    assert [row["payload"] for row in rows] == [4, 3, 2, 1]


def test_limit_and_offset_cut_the_list(api: Api) -> None:
    for number in range(12):
        api.process(number)
    everything = [row["id"] for row in api.get_json(RECORDS, limit=12)]

    assert [row["id"] for row in api.get_json(RECORDS)] == everything[:10]
    cut = api.get_json(RECORDS, limit=3, offset=4)
    assert [row["id"] for row in cut] == everything[4:7]
    assert len(api.get_json(RECORDS, offset=10_000)) <= 10


@pytest.mark.parametrize("path", [RECORDS, LOGS])
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_paging_ends(api: Api, path: str, limit: int) -> None:
    request_id = secrets.token_hex(8)
    for _ in range(3):
        body = b'{"payload": "x"}'
        assert api.send(PROCESS, body, **{"X-Request-ID": request_id}).is_success
    if path == RECORDS:
        name, value = "task_status", "Failure"
    else:  # other tests write thousands of rows: only those of these requests
        name, value = "correlation_id", request_id

    pages = list(api.pages(path, limit=limit, **{name: value}))

    assert all(len(page) == limit for page in pages[:-1])
    rows = [row for page in pages for row in page]
    assert all(row[name] == value for row in rows)
    assert len({row["id"] for row in rows}) == len(rows)
    assert path == RECORDS or len(rows) == 6


def test_a_page_ends_at_its_budget(api: Api) -> None:
    """4 MiB by default; the link leads on, and nothing is left out."""
    for number in range(6):
        api.process(f"{number}" + "x" * 500_000)  # and twice that in the outcome
    everything = [row["id"] for row in api.get_json(RECORDS, limit=6, offset=0)]
    assert len(everything) == 2

    pages = []
    for page in api.pages(RECORDS, limit=100):
        pages.append([str(row["payload"])[0] for row in page])
        if len(pages) == 3:
            break

    assert pages[:2] == [["5", "4"], ["3", "2"]]
    assert pages[2][:2] == ["1", "0"]


def test_a_record_equals_its_row_in_the_list(api: Api) -> None:
    api.process({"ä": [1.50, 10**40, None, "\u2028"], "b": {}})
    (listed,) = api.get_json(RECORDS, limit=1)
    assert listed == api.get_json(f"{RECORDS}/{listed['task_id']}")


def test_filters_select_rows(api: Api) -> None:
    text, number = api.process("x"), api.process(1)
    failed = api.process_async([1, "a"], "sort")

    def ids(path: str, **filters: str) -> set[str]:
        return {row["task_id"] for row in api.get_json(path, limit=100, **filters)}

    assert text["task_id"] in ids(RECORDS, task_type="string")
    assert number["task_id"] not in ids(RECORDS, task_type="string")
    assert failed["task_id"] in ids(RECORDS, task_status="Failure")
    assert text["task_id"] not in ids(RECORDS, task_status="Failure")
    assert text["task_id"] in ids(RECORDS, queue_name="data_queue")
    assert ids(RECORDS, queue_name="other_queue") == set()
    assert ids(LOGS, task_id=text["task_id"]) == {text["task_id"]}
    assert ids(LOGS, task_id=text["task_id"], status="start") == {text["task_id"]}
    assert ids(LOGS, task_id=text["task_id"], status="nope") == set()
    assert ids(LOGS, queue_name="other_queue") == set()
    assert text["task_id"] in ids(LOGS, service_name="data", queue_name="data_queue")


def test_a_deleted_record_is_gone_and_its_log_stays(api: Api) -> None:
    task_id = api.process("to be deleted")["task_id"]

    deleted = api.http.delete(f"{RECORDS}/{task_id}")
    again = api.http.delete(f"{RECORDS}/{task_id}")

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert deleted.headers["X-Request-ID"]
    assert_problem(again, 404, "not_found")
    assert_problem(api.http.get(f"{RECORDS}/{task_id}"), 404, "not_found")
    assert len(api.get_json(LOGS, task_id=task_id)) == 2


def test_one_of_many_concurrent_deletions_succeeds(api: Api) -> None:
    task_id = api.process("to be deleted")["task_id"]

    def delete(_: Any) -> int:
        return api.http.delete(f"{RECORDS}/{task_id}").status_code

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert sorted(pool.map(delete, range(8))) == [204] + [404] * 7
