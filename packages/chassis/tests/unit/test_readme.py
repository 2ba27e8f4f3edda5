"""The README quotes the defaults of the code."""

import re
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from chassis.settings import ServiceSettings

README = (Path(__file__).parents[2] / "README.md").read_text()


def quoted() -> dict[str, str | None]:
    """Each variable of the table with its default, or None."""
    table = README.partition("## Settings of a service")[2].partition("\n## ")[0]
    found: dict[str, str | None] = {}
    for row in re.findall(r"^\| (`.+?) \|(.*?)\|", table, re.MULTILINE):
        names, defaults = (re.findall(r"`([^`]+)`", cell) for cell in row)
        found |= dict(zip_longest(names, defaults))
    return found


def defaults(settings: BaseModel) -> dict[str, str | None]:
    """Each variable's value when it is unset."""
    prefix = settings.model_config.get("env_prefix", "")
    found: dict[str, str | None] = {}
    for name, value in settings:
        if isinstance(value, BaseModel):
            found |= defaults(value)
        else:
            found[f"{prefix}{name}".upper()] = text(value)
    return found


def text(value: Any) -> str | None:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value or "") or None


# They lead to RabbitMQ's management API, which services do not ask.
OF_THE_BACKEND = {
    *("RABBITMQ_MANAGEMENT_URL", "RABBITMQ_MONITORING_USER"),
    "RABBITMQ_MONITORING_PASSWORD",
}


def test_the_readme_quotes_the_defaults() -> None:
    code, readme = defaults(ServiceSettings.model_construct()), quoted()
    assert len(readme) > 15
    readme = {name: value for name, value in readme.items() if name in code}
    assert readme == {name: code[name] for name in readme}
    assert code.keys() - readme.keys() <= OF_THE_BACKEND
