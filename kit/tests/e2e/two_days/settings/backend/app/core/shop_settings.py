"""The settings of the shop."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.environment import Group


class ShopSettings(Group):
    """The shop."""

    model_config = SettingsConfigDict(env_prefix="SHOP_")

    order_seconds: float = Field(
        86_400, gt=0, description="An order that nobody pays in time expires"
    )
    rates_url: str = Field(
        "https://rates.example", description="Where rates of exchange come from"
    )
