"""Who makes a request, and what they may do and see."""

from dataclasses import dataclass

#: The scope that allows everything, and shows everybody's rows.
ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: ``subject`` is the provider's id of a person or a service account."""

    subject: str | None
    scopes: frozenset[str] = frozenset()

    def may(self, scope: str) -> bool:
        """Whether the caller has this scope."""
        return scope in self.scopes or ADMIN in self.scopes

    @property
    def sees(self) -> str | None:
        """The owner of the rows that the caller sees; None for all rows."""
        return None if ADMIN in self.scopes else self.subject or ""


#: Without a token. No row has an empty owner.
ANYBODY = Principal("")
#: The caller of every request while authentication is off.
EVERYBODY = Principal(None, frozenset({ADMIN}))
