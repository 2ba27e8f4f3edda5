"""`secrets`: a `.env` with the defaults of `.env.example` and random passwords.

An existing `.env` keeps what it has, and gets the passwords that it lacks: those of a
newer release, or of a new service.
"""

import os
import re
import secrets

from local.apps import ROOT
from local.env_file import values
from local.registry import registered
from local.servers.postgres import PASSWORD, USER, WORKER

EXAMPLE = ROOT / ".env.example"
TARGET = ROOT / ".env"
KNOWN = {"", "welcome1", PASSWORD}
OWNER_LOGIN = re.compile(rf"(?<=://){USER}:[^@]*(?=@postgres[:/])")
REDIS = {
    "CELERY_BROKER_URL": ("REDIS_PASSWORD", "redis"),
    "CELERY_RESULT_BACKEND": ("REDIS_PASSWORD", "redis"),
    "IDEMPOTENCY_REDIS_URL": ("REDIS_KEYS_PASSWORD", "redis-keys"),
}


class EnvFile:
    """The text of a file, and what it sets."""

    def __init__(self, text: str, *, is_new: bool) -> None:
        self.text, self.is_new = text, is_new

    def __getitem__(self, name: str) -> str:
        """The value; nothing for a known password in a new file."""
        value = values(self.text).get(name, "")
        return "" if self.is_new and value in KNOWN else value

    def set(self, name: str, value: str) -> None:
        """In the line that the file has for it, or in a new one."""
        line, pattern = f"{name}={value}", rf"^(# )?{name}=.*$"
        if re.search(pattern, self.text, re.MULTILINE):
            self.text = re.sub(pattern, line, self.text, count=1, flags=re.MULTILINE)
        else:
            self.text = f"{self.text.rstrip()}\n{line}\n"

    def complete(self) -> None:
        """Add every password, and to every URL its own."""
        names = ["RABBITMQ_PASSWORD", "RABBITMQ_MONITORING_PASSWORD"]
        names += [f"{service.upper()}_RABBITMQ_PASSWORD" for service in registered()]
        names += ["REDIS_PASSWORD", "REDIS_KEYS_PASSWORD", "POSTGRES_PASSWORD"]
        names += ["CLUSTER_PASSWORD"]
        for name in names:
            if not self[name]:
                self.set(name, secrets.token_urlsafe(24))
        for name, (password, host) in REDIS.items():
            plain = {f"redis://{login}{host}:6379/0" for login in ("", ":welcome1@")}
            if self[name] in {"", *plain}:
                self.set(name, f"redis://:{self[password]}@{host}:6379/0")
        self._split_roles()
        # In containers, the owner makes the schema of a service that receives events.
        for config in ROOT.glob("services/*/*-config.env"):
            name = f"{config.parent.name.upper()}_EVENTS_DATABASE_URL"
            if "EVENTS_DATABASE_URL_FILE" in config.read_text() and not self[name]:
                self.set(name, self["MIGRATIONS_DATABASE_URL"] or self["DATABASE_URL"])

    def _split_roles(self) -> None:
        """The owner of the containers' tables migrates; another role works."""
        url = self["DATABASE_URL"]
        if self["MIGRATIONS_DATABASE_URL"] or not OWNER_LOGIN.search(url):
            return
        if self.is_new:
            owner = f"{USER}:{self['POSTGRES_PASSWORD']}"
            url = OWNER_LOGIN.sub(owner, url)
        self.set("MIGRATIONS_DATABASE_URL", url)
        login = f"{WORKER}:{secrets.token_urlsafe(24)}"
        for name in ("DATABASE_URL", "ASYNC_DATABASE_URL"):
            if self[name]:
                self.set(name, OWNER_LOGIN.sub(login, self[name]))


def write() -> int:
    """Write the file, readable by its owner only, or complete it."""
    is_new = not TARGET.exists()
    before = (EXAMPLE if is_new else TARGET).read_text()
    file = EnvFile(before, is_new=is_new)
    file.complete()
    if file.text == before:
        print(f"{TARGET.name} has every password; left it unchanged.")
        return 0
    partial = TARGET.with_name(f"{TARGET.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as written:
        written.write(file.text)
    partial.replace(TARGET)
    if is_new:
        what = "Wrote {} with random passwords. Set ENVIRONMENT=production in it."
    else:
        what = "Added passwords to {}; kept its others. Now run `make up`."
    print(what.format(TARGET.name))
    return 0
