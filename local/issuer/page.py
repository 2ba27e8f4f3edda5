"""The pages of the issuer: a form to sign in, and a message."""

from collections.abc import Collection, Iterator, Mapping
from html import escape

from starlette.responses import HTMLResponse

# What the form repeats of the request. Anything else could tick a box unseen.
REPEATED = (
    *("response_type", "response_mode", "client_id", "redirect_uri", "scope"),
    *("state", "nonce", "code_challenge", "code_challenge_method"),
)
DENY = "deny"
USER_FIELD = "user"
USERS = ("alice", "bob")

# A page of another site can neither show this one in a frame nor add to it. Without a
# referrer the browser would not say either which page has sent the form.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;
padding:0 1rem}}label{{display:block}}input[type=text],button{{font:inherit;
padding:.3rem .6rem}}fieldset{{margin:1rem 0}}</style></head>
<body><main><h1>{title}</h1>
{content}
</main></body></html>
"""
_FORM = """<p>This is the issuer for development: it asks for no password.
The token goes to <code>{back}</code>.</p>
<form method="post" action="/authorize">{hidden}
<label>User <input type="text" name="{user_field}" value="{user}" list="users"
maxlength="255" required autofocus autocomplete="off"></label>
<datalist id="users">{users}</datalist>
<fieldset><legend>Scopes</legend>{scopes}</fieldset>
<button>Sign in</button> <button name="{deny}" value="1" formnovalidate>Cancel</button>
</form>"""


def scope_field(scope: str) -> str:
    """The name of a scope's box."""
    return f"scope:{scope}"


def ask(
    given: Mapping[str, str], scopes: Mapping[str, str], chosen: Collection[str]
) -> HTMLResponse:
    """Ask who signs in, and with which scopes; those `chosen` are ticked."""
    user = escape(given.get("login_hint", USERS[0])[:255])
    boxes = (
        f'<label><input type="checkbox" name="{escape(scope_field(name))}" value="1"'
        f"{' checked' if name in chosen else ''}> <code>{escape(name)}</code> "
        f"{escape(meaning)}</label>"
        for name, meaning in scopes.items()
    )
    content = _FORM.format(
        back=escape(given["redirect_uri"]),
        hidden="".join(_hidden(given)),
        user_field=USER_FIELD,
        user=user,
        users="".join(f'<option value="{each}">' for each in USERS),
        scopes="".join(boxes),
        deny=DENY,
    )
    return _page("Sign in", content, 200)


def tell(title: str, message: str, status: int = 400) -> HTMLResponse:
    """Why nothing goes on here."""
    return _page(title, f"<p>{escape(message)}</p>", status)


def _page(title: str, content: str, status: int) -> HTMLResponse:
    page = _FRAME.format(title=escape(title), content=content)
    return HTMLResponse(page, status, HEADERS)


def _hidden(given: Mapping[str, str]) -> Iterator[str]:
    for name in REPEATED:
        if name in given:
            yield f'<input type="hidden" name="{name}" value="{escape(given[name])}">'
