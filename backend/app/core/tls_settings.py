"""The API's own certificate."""

import ssl
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.environment import Group


class ApiTlsSettings(Group):
    """TLS of the API (HTTPS). nginx then needs NGINX_API_SCHEME=https."""

    model_config = SettingsConfigDict(env_prefix="API_SSL_")

    cert_file: str | None = Field(
        None,
        description="File with the API's certificate and its chain (PEM): the API then "
        "speaks HTTPS alone",
    )
    key_file: str | None = Field(None, description="File with its key (PEM)")

    @model_validator(mode="after")
    def check_files(self) -> Self:
        """A file that is missing or damaged must stop the start, and say why."""
        if not self.cert_file and not self.key_file:
            return self
        if not self.cert_file or not self.key_file:
            raise ValueError("API_SSL_CERT_FILE and API_SSL_KEY_FILE need each other")
        for file in (self.cert_file, self.key_file):
            try:
                open(file, "rb").close()
            except OSError as error:
                raise ValueError(f"{file} cannot be read: {error.strerror}") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # The empty password: OpenSSL would ask the terminal for that of a key.
            context.load_cert_chain(self.cert_file, self.key_file, "")
        except ssl.SSLError as error:
            raise ValueError(
                f"{self.cert_file}, {self.key_file}: not a certificate (PEM), or not "
                f"its key: {error.reason}"
            ) from None
        return self
