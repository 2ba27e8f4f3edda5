"""What an order costs."""

import json
from collections.abc import Callable

from app.articles import find_sku
from chassis.errors import ServiceError

CENTS = {"APPLE": 25, "PEAR": 30}


class PricingService:
    """One instance serves all threads: nothing on it changes."""

    def __init__(self, find: Callable[[str], str] = find_sku) -> None:
        self._find = find

    def call(self, data: str) -> tuple[str, str]:
        """Takes the JSON of `{"payload": {"sku", "quantity"}, "description"}`.

        Returns the JSON of the outcome, and the task type. Raises ServiceError with
        code `too_few` or `unknown_sku`.
        """
        payload = json.loads(data)["payload"]
        if payload["quantity"] < 1:
            raise ServiceError("too_few", "one is the least that can be ordered")
        sku = self._find(payload["sku"])
        if sku not in CENTS:
            raise ServiceError("unknown_sku", "the shop does not have this")
        total = CENTS[sku] * payload["quantity"]
        return json.dumps({"sku": sku, "total": total}), "pricing"
