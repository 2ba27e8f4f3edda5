"""The settings of webhooks."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from chassis.environment import Group

IpNetwork = IPv4Network | IPv6Network


def _check_networks(networks: str) -> str:
    try:
        _read_networks(networks)
    except ValueError as error:
        raise ValueError(
            "list networks with commas, such as 10.1.0.0/16,192.0.2.7; a network has "
            "no bits after its prefix"
        ) from error
    return networks


def _read_networks(networks: str) -> tuple[IpNetwork, ...]:
    return tuple(ip_network(each.strip()) for each in networks.split(",") if each)


class WebhookSettings(Group):
    """Webhooks (API, worker). `docs/WEBHOOKS.md` explains them."""

    model_config = SettingsConfigDict(env_prefix="WEBHOOKS_")

    allowed_networks: Annotated[str, AfterValidator(_check_networks)] = Field(
        "",
        description="Private networks that webhooks may reach, separated by commas: "
        "10.1.0.0/16. Without it, only public addresses",
    )
    allow_http: bool | None = Field(
        None,
        description="Also accept URLs with http; if unset, in development alone",
    )
    max_per_owner: int = Field(
        20,
        ge=1,
        description="Webhooks of one owner; without authentication, of all callers "
        "together",
    )
    max_body_bytes: int = Field(
        256 * 1024,
        ge=1024,
        description="For longer events, webhooks get a reference instead of the data, "
        "in bytes",
    )
    timeout_seconds: float = Field(
        15,
        gt=0,
        le=20,
        description="How long one attempt to deliver an event may take, in seconds",
    )
    give_up_days: float = Field(
        1,
        gt=0,
        description="Days to retry an event. A webhook that fails for so long is "
        "disabled",
    )
    every_seconds: float = Field(
        1, gt=0, description="How often to look for events to deliver, in seconds"
    )
    retention_days: float = Field(
        7, gt=0, description="Days to keep the history of deliveries"
    )

    @property
    def networks(self) -> tuple[IpNetwork, ...]:
        """WEBHOOKS_ALLOWED_NETWORKS, parsed."""
        return _read_networks(self.allowed_networks)
