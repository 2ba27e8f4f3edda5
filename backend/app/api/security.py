"""What an endpoint needs of its caller: ``dependencies=[requires("data:process")]``."""

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.openapi.models import OpenIdConnect
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from app.api.middleware.authentication import PRINCIPAL
from app.core.auth_settings import AuthSettings, discovery_url
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
    """The dependency that returns the caller. ``app.api.openapi`` completes the scheme
    with the provider's addresses."""

    scheme_name = "openIdConnect"
    model = OpenIdConnect(openIdConnectUrl="/")

    async def __call__(self, request: Request) -> Principal:
        """The caller that the middleware found."""
        is_on = request.app.state.settings.auth.issuer is not None
        found: Principal = request.scope.get(PRINCIPAL, ANYBODY if is_on else EVERYBODY)
        return found


PrincipalDep = Annotated[Principal, Depends(Caller())]


async def check_scopes(needed: SecurityScopes, principal: PrincipalDep) -> None:
    """Raise Forbidden unless the caller has each of the declared scopes."""
    for scope in needed.scopes:
        if not principal.may(scope):
            raise Forbidden(f"This needs the scope {scope}.", scope=scope)


def complete(schema: dict[str, Any], settings: AuthSettings) -> None:
    """Name the provider in the schema; without one, no operation needs a token."""
    components = schema["components"]
    components.pop("securitySchemes", None)
    if settings.issuer:
        scheme = {
            "type": "openIdConnect",
            "openIdConnectUrl": discovery_url(settings.issuer),
            "description": "A token of the provider. It needs one of the scopes "
            "that the operation names, or `admin`.",
        }
        components["securitySchemes"] = {Caller.scheme_name: scheme}
        return
    for methods in schema["paths"].values():
        for operation in methods.values():
            operation.pop("security", None)


def requires(scope: str) -> Any:
    """For ``dependencies=`` of an endpoint or router: the scope that a token needs."""
    return Security(check_scopes, scopes=[scope])
