"""Valid names, and their spellings."""

import pytest

from kit.names import LONGEST, Name, from_specimen, is_specimen
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
        "specimen",
    ],
)
def test_invalid_names_are_refused(text: str) -> None:
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


def test_template_words_become_the_name() -> None:
    rename = from_specimen(Name.parse("price-list"), {"specimen/x": "lists/x"})
    before = "speci-men speci-mens specimen specimens Specimen Speci mens SPECIMEN_X"
    assert rename(before) == (
        "price-list price-lists price_list price_lists PriceList Price lists "
        "PRICE_LIST_X"
    )
    assert rename("specimen/x") == "lists/x"
    assert is_specimen("SPECIMEN_QUEUE") and not is_specimen("special men")
