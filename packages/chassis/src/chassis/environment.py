"""Reads settings from the environment, ``.env`` and secret files.

``ENV_FILE`` names another file to read instead of ``.env``.

Docker and Kubernetes provide secrets as files. For every secret ``NAME``, the variable
``NAME_FILE`` may be the path of a file with its value.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Never, Self, TypeVar, get_args

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from chassis import otel_variables

# Processes run in the project's folder, in backend/ or in a service's folder.
ENV_FILES = (".env", "../.env", "../../.env")

logger = logging.getLogger(__name__)


class Group(BaseSettings):
    """Base class of setting groups: same sources for each, unknown variables
    ignored."""

    model_config = SettingsConfigDict(
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        # Errors are logged, and a value may be a secret.
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment overrides secret files, and these override ``.env``."""
        assert isinstance(env_settings, EnvSettingsSource)
        dotenv = _dotenv(settings_cls)
        files = SecretFiles(cls, env_settings.env_vars, {**dotenv.env_vars})
        return init_settings, env_settings, files, dotenv

    @classmethod
    def secret_files(cls) -> "SecretFiles":
        """The files that the environment and ``.env`` name."""
        environment = EnvSettingsSource(cls).env_vars
        return SecretFiles(cls, environment, {**_dotenv(cls).env_vars})

    def read_again(self) -> Self:
        """These settings with the secrets that their files hold now: a server may have
        refused the old ones. The same object if nothing changed, or cannot be used.
        """
        try:
            found = {n: SecretStr(text) for n, text in self.secret_files()().items()}
            if all(getattr(self, name) == value for name, value in found.items()):
                return self
            given = {name: getattr(self, name) for name in self.model_fields_set}
            return type(self)(**{**given, **found})
        except (ValidationError, SettingsError) as error:
            faults = "; ".join(explain(type(self), error))
            logger.warning("A changed secret cannot be used: %s", faults)
            return self

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable of a field."""
        return (cls.model_config.get("env_prefix", "") + field).upper()

    @classmethod
    def groups(cls) -> Iterator[type["Group"]]:
        """The groups nested in this one."""
        for field in cls.model_fields.values():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, Group):
                yield kind

    @classmethod
    def secrets(cls) -> Iterator[str]:
        """The fields that hold secrets."""
        for name, field in cls.model_fields.items():
            if SecretStr in (field.annotation, *get_args(field.annotation)):
                yield name


def _dotenv(group: type[BaseSettings]) -> DotEnvSettingsSource:
    return DotEnvSettingsSource(group, env_file=os.environ.get("ENV_FILE") or ENV_FILES)


class SecretFiles(PydanticBaseSettingsSource):
    """Reads secrets from the files that ``NAME_FILE`` variables name."""

    def __init__(
        self,
        group: type[Group],
        environment: Mapping[str, str | None],
        dotenv: Mapping[str, str | None],
    ) -> None:
        super().__init__(group)
        self._group = group
        self._environment = environment
        self._named = {**dotenv, **environment}

    def path_of(self, field_name: str) -> str | None:
        """The file of a secret; None if its ``NAME_FILE`` is unset."""
        return self._named.get(f"{self._group.variable(field_name)}_FILE".lower())

    def get_field_value(
        self, field: FieldInfo, field_name: str
    ) -> tuple[Any, str, bool]:
        """The secret; None if its ``NAME_FILE`` is unset."""
        variable = self._group.variable(field_name)
        path = self.path_of(field_name)
        if not path:
            return None, field_name, False
        if self._environment.get(variable.lower()):
            raise SettingsError(
                f"{variable}: {variable}_FILE is set as well; remove one of them"
            )
        try:
            return Path(path).read_text().rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise SettingsError(
                f"{variable}_FILE: {path} cannot be read: {reason}"
            ) from error

    def __call__(self) -> dict[str, Any]:
        """The secrets whose ``NAME_FILE`` is set."""
        fields = self._group.model_fields
        values = {
            n: self.get_field_value(fields[n], n)[0] for n in self._group.secrets()
        }
        return {name: value for name, value in values.items() if value is not None}


Chosen = TypeVar("Chosen", bound=Group)


def load(settings: type[Chosen]) -> Chosen:
    """Read the settings of a process; if they are invalid, exit with a message.

    The message names every invalid variable, and never shows a value.
    """
    faults: list[str] = []
    for group in settings.groups():
        try:
            group()
        except (ValidationError, SettingsError) as error:
            faults += explain(group, error)
    faults += otel_variables.faults(os.environ)
    if not faults:
        try:
            return settings()
        except (ValidationError, SettingsError) as error:
            faults += explain(settings, error)
    _give_up(faults)


def explain(group: type[Group], error: ValidationError | SettingsError) -> list[str]:
    """The faults, with the names of their variables and without values."""
    if isinstance(error, SettingsError):
        field = re.search(r'error parsing value for field "(\w+)"', str(error))
        if field:
            return [f'{group.variable(field[1])}: must be JSON, such as ["a", "b"]']
        return [str(error)]
    faults = []
    for each in error.errors():
        message = each["msg"].removeprefix("Value error, ")
        if each["loc"]:
            message = f"{group.variable(str(each['loc'][0]))}: {message}"
        faults += message.splitlines()
    return faults


def _give_up(faults: list[str]) -> Never:
    lines = ["The settings are invalid:", *(f"  {fault}" for fault in faults)]
    raise SystemExit("\n".join([*lines, ".env.example describes every variable."]))
