"""How many requests a caller may send in which time."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, NamedTuple

from limits import RateLimitItem, parse_many
from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from chassis.environment import Group

#: Seconds of the longest time for which requests are counted.
LONGEST = 24 * 3600
#: A structured field has no longer integers (RFC 9651).
MOST = 10**15 - 1


class RatePolicy(NamedTuple):
    """A caller may send ``amount`` requests in each ``seconds``."""

    name: str
    amount: int
    seconds: int


def _read(rate: str) -> RateLimitItem | None:
    """None if it is not one limit."""
    try:
        found = parse_many(rate)
    except ValueError:
        return None
    return found[0] if len(found) == 1 else None


def _check_rate(rate: str) -> str:
    found = _read(rate)
    if found is None or not (
        1 <= found.amount <= MOST and 1 <= found.get_expiry() <= LONGEST
    ):
        raise ValueError(
            "write one limit with at least 1 request and at most a day, such as "
            "600/minute or 100/10 seconds; leave it empty for no limit"
        )
    return rate


Rate = Annotated[str, AfterValidator(_check_rate)]


class RateLimitSettings(Group):
    """Rate limits of each caller: the subject of a token, else an address."""

    model_config = SettingsConfigDict(env_prefix="RATE_LIMIT_")

    read: Rate | None = Field(
        None,
        description="Requests with GET and HEAD of one caller, such as 600/minute; "
        "without it, any number",
    )
    write: Rate | None = Field(
        None,
        description="All other requests of one caller, such as 120/minute; without "
        "it, any number",
    )

    @cached_property
    def policies(self) -> Mapping[str, RatePolicy]:
        """The limits that are set, by name: ``read`` and ``write``."""
        rates = {"read": self.read, "write": self.write}
        return {
            name: RatePolicy(name, found.amount, found.get_expiry())
            for name, rate in rates.items()
            if rate is not None and (found := _read(rate)) is not None
        }
