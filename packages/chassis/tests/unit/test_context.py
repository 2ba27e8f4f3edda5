"""The ids of requests."""

import pytest

from chassis.context import REQUEST_ID_PATTERN, new_request_id


def test_a_new_id_is_random_and_fits_everywhere() -> None:
    found = {new_request_id() for _ in range(100)}
    assert len(found) == 100 and {len(each) for each in found} == {32}
    assert all(REQUEST_ID_PATTERN.fullmatch(each) for each in found)


@pytest.mark.parametrize("text", ["", "a b", "a\n", "ä", '"', "x" * 129])
def test_what_would_need_escaping_is_no_id(text: str) -> None:
    assert not REQUEST_ID_PATTERN.fullmatch(text)
