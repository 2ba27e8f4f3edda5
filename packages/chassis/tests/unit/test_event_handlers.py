"""Which events go to which method."""

from typing import Any

import pytest

from chassis.events import Event, on
from chassis.events.handlers import Handler, handlers_of
from chassis.events.topology import Subscription


class Shop:
    @property
    def opened(self) -> bool:
        raise AssertionError("looked at")

    @on("order.placed")
    @on("order.*.late")
    def plainly(self, event: Event) -> None: ...

    @on("record.#")
    def counted(self, event: Event, cursor: Any) -> None: ...


@on("#")
def everything(event: Event) -> None: ...


def test_methods_and_functions_are_found() -> None:
    shop = Shop()
    found = {each.pattern: each for each in handlers_of(shop, [everything])}
    assert set(found) == {"order.placed", "order.*.late", "record.#", "#"}
    assert found["record.#"] == Handler("record.#", shop.counted)
    takes = {each.pattern for each in found.values() if each.takes_cursor}
    assert takes == {"record.#"}
    assert handlers_of(object(), []) == []


def test_one_pattern_has_one_handler() -> None:
    class Both(Shop):
        @on("record.#")
        def again(self, event: Event) -> None: ...

    with pytest.raises(ValueError, match="more than one handler for record.#"):
        handlers_of(Both(), [])
    with pytest.raises(ValueError, match="decorate it with @on"):
        handlers_of(Shop(), [lambda event: None])


@pytest.mark.parametrize("pattern", ["", "Record.*", "record.", "record.a*", "a b"])
def test_a_pattern_that_matches_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="is no pattern of event types"):
        on(pattern)


def test_what_leaves_a_queue_goes_to_the_next() -> None:
    own = Subscription("price_list", "record.*")
    assert own.name == "price_list.events.record.*"
    key = "x-dead-letter-routing-key"
    assert own.arguments[key] == own.dead_letter_queue
    assert own.retry_arguments[key] == own.name
    assert "x-delivery-limit" not in own.retry_arguments
    assert "x-message-ttl" not in own.arguments  # nothing expires
