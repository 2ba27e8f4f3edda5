"""How the shop spells its articles."""

from chassis.calls import call_service, get_queue_name


def find_sku(text: str) -> str:
    """The article that a customer means; the data service knows capital letters."""
    request = {"payload": text, "description": "uppercase"}
    return str(call_service(get_queue_name("data"), request)["output"])
