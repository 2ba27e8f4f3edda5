"""What an endpoint needs of its caller: ``dependencies=[requires("data:process")]``."""

from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.openapi.models import OpenIdConnect
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from app.api.middleware.authentication import PRINCIPAL
from app.core.exceptions import Forbidden
from app.core.principal import ADMIN, ANYBODY, EVERYBODY, Principal

PROCESS = "data:process"
READ_RECORDS = "records:read"
DELETE_RECORDS = "records:delete"
READ_EVENTS = "events:read"
READ_METRICS = "metrics:read"

#: What each scope allows, for the documentation.
SCOPES = {
    PROCESS: "Send data to services.",
    READ_RECORDS: "Read your records, log rows and states of work.",
    DELETE_RECORDS: "Delete your records.",
    READ_EVENTS: "Read your events.",
    READ_METRICS: "Read metrics.",
    ADMIN: "Everything, and everybody's rows.",
}


class Caller(SecurityBase):
    """The dependency that returns the caller. ``app.api.sign_in`` completes the scheme
    with the provider's addresses."""

    scheme_name = "accessToken"
    model = OpenIdConnect(openIdConnectUrl="/")

    async def __call__(self, connection: HTTPConnection) -> Principal:
        """The caller that the middleware found."""
        is_on = connection.app.state.settings.auth.issuer is not None
        nobody = ANYBODY if is_on else EVERYBODY
        found: Principal = connection.scope.get(PRINCIPAL, nobody)
        return found


PrincipalDep = Annotated[Principal, Depends(Caller())]


async def check_scopes(needed: SecurityScopes, principal: PrincipalDep) -> None:
    """Raise Forbidden unless the caller has each of the declared scopes."""
    for scope in needed.scopes:
        if not principal.may(scope):
            raise Forbidden(f"This needs the scope {scope}.", scope=scope)


def complete(schema: dict[str, Any], prefix: str | None) -> None:
    """Put the provider's prefix before scopes; without a provider (None), no operation
    needs a token."""
    schema["components"].pop("securitySchemes", None)
    for methods in schema["paths"].values():
        for operation in methods.values():
            needed = operation.pop("security", None)
            if needed and prefix is not None:
                operation["security"] = [
                    {name: [f"{prefix}{scope}" for scope in scopes]}
                    for each in needed
                    for name, scopes in each.items()
                ]


def requires(scope: str) -> Any:
    """For ``dependencies=`` of an endpoint or a router: what a token needs."""
    return Security(check_scopes, scopes=[scope])


def new_scope(name: str, text: str) -> str:
    """Add a scope to the documentation: ``READ = new_scope("orders:read", "Read your
    orders.")`` beside the endpoints that need it."""
    SCOPES[name] = text
    return name
