"""Names: which are taken, in which spellings."""

import pytest

from kit.names import LONGEST, Name, from_data_service
from kit.tree import KitError


@pytest.mark.parametrize("text", ["price-list", "price_list"])
def test_every_spelling(text: str) -> None:
    name = Name.parse(text)
    assert (name.snake, name.kebab, name.pascal) == (
        "price_list",
        "price-list",
        "PriceList",
    )
    assert (name.words, name.title) == ("price list", "Price list")


@pytest.mark.parametrize(
    "text",
    [
        *("", "Pricing", "price list", "1st", "-a", "a-", "a--b", "a-_b", "größe"),
        *("a/b", "../x", "a.b", "a;b", "$(id)", "x" * (LONGEST + 1), "a\n"),
        *("class", "import", "worker", "data", "rabbitmq", "services", "tests"),
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(KitError) as refusal:
        Name.parse(text)
    assert text[:LONGEST].strip() in str(refusal.value)


@pytest.mark.parametrize(
    ("one", "many"),
    [
        *(("invoice", "invoices"), ("category", "categories"), ("day", "days")),
        *(("box", "boxes"), ("address", "addresses"), ("batch", "batches")),
        ("purchase-order", "purchase_orders"),
    ],
)
def test_plurals(one: str, many: str) -> None:
    assert Name.parse(one).plural.snake == many


def test_words_of_the_data_service_become_those_of_the_name() -> None:
    rename = from_data_service(Name.parse("price-list"))
    before = 'data-service data_service DataService dataservice "SERVICE_NAME", "data"'
    assert rename(before) == (
        "price-list-service price_list_service PriceListService price_list "
        '"SERVICE_NAME", "price_list"'
    )
    assert rename("SERVICE_NAME=data\ndata: bytes") == (
        "SERVICE_NAME=price_list\ndata: bytes"
    )
