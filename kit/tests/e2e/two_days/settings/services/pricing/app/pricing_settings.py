"""What the pricing service reads from its environment."""

from pydantic import Field

from chassis.settings import ServiceSettings


class PricingSettings(ServiceSettings):
    """Its own, and those of every service."""

    pricing_discount: float = Field(
        0.1, ge=0, lt=1, description="Share of each price that nobody has to pay"
    )
