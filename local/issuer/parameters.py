"""The parameters of a request, and its refusal (RFC 6749)."""

from urllib.parse import parse_qsl

from starlette.requests import Request

#: Bytes of a query or a form.
MOST_BYTES = 8 * 1024
MOST_FIELDS = 50


class Refused(Exception):
    """An error of RFC 6749, section 4.1.2.1 or 5.2: a code, and words for people."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status


def parse(text: str) -> dict[str, str]:
    """The parameters of a query or form; one without a value counts as absent.

    Raises Refused for too many, and for one that is given twice.
    """
    try:
        pairs = parse_qsl(text, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise Refused("invalid_request", "The parameters cannot be read.") from error
    if len(text) > MOST_BYTES:
        raise Refused("invalid_request", "The parameters are too long.")
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refused("invalid_request", "A parameter is given twice.")
    return found


async def parse_form(request: Request) -> dict[str, str]:
    """The parameters of the body. Raises Refused as `parse` does."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused("invalid_request", "Send application/x-www-form-urlencoded.")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise Refused("invalid_request", "The parameters are too long.", 413)
    return parse(body.decode("latin-1"))


def needed(given: dict[str, str], name: str) -> str:
    """A parameter's value. Raises Refused without one."""
    if name not in given:
        raise Refused("invalid_request", f"The parameter {name} is missing.")
    return given[name]
