"""What the pages may show and who may change something: nothing outside the folder of runs, and only the pages of this server.

request ── host known? ── a POST from our own page? ──> endpoint ── inside(root, name) ──> answer with a strict policy
"""

from __future__ import annotations

from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("localhost", "127.0.0.1", "[::1]")
READING = ("GET", "HEAD")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "style-src-attr 'unsafe-inline'",  # drawings and tables carry numbers in style attributes; no style element is taken
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class MissingError(Exception):
    """There is nothing of that name; the message is one full sentence."""


def inside(root: Path, name: str) -> Path:
    """The resolved path of a name below ``root``, itself resolved; MissingError where the path is outside or does not exist."""
    try:
        path = (root / name).resolve()
        exists = path.is_relative_to(root) and path.exists()
    except (OSError, ValueError, RuntimeError):  # a name too long, with a zero byte, a ring of links
        exists = False
    if not exists:
        raise MissingError(f"There is no '{name}' in this folder of runs.")
    return path


def whole(text: str) -> int | None:
    """The whole number in an address or a file name; None for other text and for more than 18 digits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def shown(text: str) -> str:
    """A text as a page can carry it: names of files may hold bytes that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def leads_out(root: Path, folder: Path) -> bool:
    """Whether a link somewhere below the folder leads out of ``root``."""
    return any(path.is_symlink() and not path.resolve().is_relative_to(root) for path in (folder, *folder.rglob("*")))


class StrictHeaders:
    """Puts the headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


class SameOrigin:
    """Refuses requests that change something unless a page of this server sent them, for any page can send a POST to 127.0.0.1."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in READING and not own(scope):
            refusal = PlainTextResponse("Only pages of this server may send this.", status_code=403)
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def own(scope: Scope) -> bool:
    """Whether the headers say that a page of this server sent the request; False where they say nothing."""
    headers = Headers(scope=scope)
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and origin != f"{scope['scheme']}://{headers.get('host', '')}":
        return False
    return site == "same-origin" if site is not None else origin is not None
