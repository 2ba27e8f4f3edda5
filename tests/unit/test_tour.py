"""Pages that show commands are taken apart and put together; the picture is drawn."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from local.apps import ROOT
from tests.tour import picture
from tests.tour.pages import PAGES, SHOWN_URL, Step, mask, run, steps, written

PAGE = """
```console
$ printf '{"task_id":"f383184f-9ee4-439d-a86d-99116bdde011"}'
{"task_id":"4f214618-ff05-47bd-b7b7-0c3270b8de88"}

$ echo http://127.0.0.1:8081/4f214618-ff05-47bd-b7b7-0c3270b8de88
http://127.0.0.1:8081/4f214618-ff05-47bd-b7b7-0c3270b8de88
```

Words.

```console
$ printf 'x-request-id: 1\\r\\n\\r\\n{}\\n'
x-request-id: 1

{}
```
"""
REAL = "f383184f-9ee4-439d-a86d-99116bdde011"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_written_as_it_was_read(page: Path) -> None:
    text = page.read_text()
    assert written(text, steps(text)) == text


def test_an_id_of_an_answer_is_used_in_what_follows() -> None:
    (_, made), (shown, asked), (_, headers) = run(PAGE, "http://there:1", {})
    assert made.output == f'{{"task_id":"{REAL}"}}'
    assert asked == Step(f"echo http://there:1/{REAL}", f"http://there:1/{REAL}")
    assert shown == asked
    assert headers.output == "x-request-id: 1\n\n{}"


def test_new_output_takes_the_place_of_the_old() -> None:
    done = [real for _, real in run(PAGE, SHOWN_URL, {})]
    page = written(PAGE, done)
    assert "4f214618" not in page
    assert steps(page) == done
    assert "Words." in page


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (f'{{"task_id":"{REAL}"}}', '{"task_id":"-"}', False),
        ('{"id":4,"payload":[3,1]}', '{"id":77,"payload":[3,1]}', True),
        ('{"id":4,"payload":[3,1]}', '{"id":4,"payload":[1,3]}', False),
        ('{"id":4}', '{"number":4}', False),
        ('{"a":1,"b-service":{"s":1}}', '{"a":1,"b-service":{},"c-service":{}}', True),
        ("Date: Mon, 23 Nov", "Date: Tue, 24 Nov", True),
        ("HTTP/1.1 200 OK", "HTTP/1.1 202 OK", False),
        ('{"queues":{"a":{"messages":0}},"b":1}', '{"queues":null,"b":1}', True),
        ('"at":"2026-11-23T08:02:13.7+00:00"', '"at":"2026-11-24T01:00:00Z"', True),
    ],
)
def test_only_what_varies_is_masked(one: str, other: str, same: bool) -> None:
    assert (mask(one) == mask(other)) is same


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(each.itertext()) for each in root.iter() if each.tag[-4:] == "text"]


def test_a_terminal_is_drawn_line_by_line() -> None:
    line = "$ curl <a&b> " + "x" * picture.COLUMNS
    svg = picture.draw("A title", f"{line}\n\nstack  | at http://127.0.0.1:1")
    assert texts(svg) == [
        *(line[: picture.COLUMNS], line[picture.COLUMNS :], ""),
        "stack  | at http://127.0.0.1:1",
    ]
    assert re.findall(r'class="(\w+)"', svg) == ["prompt", "part", "link"]


def test_logs_of_processes_are_counted_instead() -> None:
    text = "stack | a\napi   | b\nbeat  | c\n\n  Gateway | d\nstack | e\n"
    assert picture.without_logs(text) == (
        "stack | a\n... 2 lines of logs ...\n\n  Gateway | d\nstack | e\n"
    )


def test_the_picture_shows_a_start_and_an_answer() -> None:
    shown = "\n".join(texts((ROOT / "docs" / "RUN.svg").read_text()))
    assert shown.startswith("$ make run\n")
    assert "Ctrl-C stops" in shown
    assert "HELLO WORLD" in shown
