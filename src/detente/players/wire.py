"""One try of a request, bounded as a whole: in seconds, in bytes, and in how long the next one is waited for.

    send ──> headers and bytes, within the seconds and the bytes ──> unpacked ──> a status in the body counts like a status

The client of the ``openai`` package bounds the silence between two bytes only. What is returned here has arrived in full, so
nothing else waits for the network. Importing this module loads that package. Must not import torch.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from httpx2 import Response
from openai import DefaultAsyncHttpxClient

from detente.errors import UserError
from detente.players.address import loopback

LIMIT = 4 << 20  # bytes that an answer may have, packed and unpacked
# What endpoints call a fault in a body without saying its status.
NAMED = {
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded_error": 503,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
}


class BoundedClient(DefaultAsyncHttpxClient):
    """A client whose ``send`` takes at most so many seconds, follows no redirects and calls ``count`` before each request.

    Raises UserError for an answer that is too long, or packed in a way that nobody asked for.
    """

    def __init__(self, direct: bool, seconds: float, count: Callable[[], None]) -> None:
        # Given a transport, the client asks the environment for no proxy.
        super().__init__(transport=httpx2.AsyncHTTPTransport() if direct else None, timeout=None, follow_redirects=False)
        self._seconds, self._count = seconds, count

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> Response:
        """The whole response, whose status is the one that its body names if that is a fault."""
        self._count()
        request.headers["accept-encoding"] = "identity"
        try:
            async with asyncio.timeout(self._seconds):
                response = await super().send(request, stream=True, **options)
                try:
                    packed = await _received(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise httpx2.ReadTimeout(f"no whole answer within {self._seconds:g} s", request=request) from None
        content = _unpacked(packed, response)
        headers = {key: response.headers[key] for key in ("location", "retry-after", "retry-after-ms") if key in response.headers}
        if asked_to_wait(headers) > self._seconds:
            headers["x-should-retry"] = "false"  # how the client is told so
        status = response.status_code if response.status_code != 200 else named_status(read_json(content)) or 200
        return Response(status, headers=headers, content=content, request=request)


async def _received(response: Response) -> bytes:
    """The bytes of the body as they come over the wire."""
    parts, length = [], 0
    async for part in response.aiter_raw():
        parts.append(part)
        length += len(part)
        if length > LIMIT:
            raise _too_long(response)
    return b"".join(parts)


def _unpacked(packed: bytes, response: Response) -> bytes:
    """The body itself, of which no more than LIMIT bytes are ever made."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return packed
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise UserError(f"{response.url} packs its answers in a way that nobody asked for ('{encoding[:20]}'); look at the server.")
    unpacker = zlib.decompressobj(wbits=47)  # gzip or zlib
    with suppress(zlib.error):
        content = unpacker.decompress(packed, LIMIT + 1)
        if len(content) > LIMIT:
            raise _too_long(response)
        if unpacker.eof:
            return content
    raise UserError(f"{response.url} answered with something that is not {encoding}, as it says; look at the server.")


def _too_long(response: Response) -> UserError:
    return UserError(f"{response.url} answers with more than {LIMIT >> 20} MiB, which no answer needs; look at the server.")


def read_json(content: bytes) -> Any:
    """The value that a body holds; None where it is no JSON, or nested too deeply to be an answer."""
    try:
        return json.loads(content.decode(json.detect_encoding(content), "replace"))
    except (ValueError, RecursionError):
        return None


def error_in(body: Any) -> Any:
    """What a body, or the first choice in it, calls an error; None where nothing is called one."""
    if not isinstance(body, dict):
        return None
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return body.get("error") or (first.get("error") if isinstance(first, dict) else None)


def named_status(body: Any) -> int | None:
    """The status from 400 to 599 that a body without an answer names as its own; None where it names none."""
    error = error_in(body)
    if not error and (not isinstance(body, dict) or body.get("choices")):
        return None
    for fault in (error, body):
        for key in ("code", "status", "status_code", "type") if isinstance(fault, dict) else ():
            said = fault.get(key)
            if isinstance(said, (str, int)):
                status = int(said) if re.fullmatch("[45][0-9]{2}", str(said)) else NAMED.get(str(said))
                if status is not None:
                    return status
    return None


def asked_to_wait(headers: Mapping[str, str]) -> float:
    """Seconds that a response asks to be left alone for; 0 where it does not say."""
    try:
        if "retry-after-ms" in headers:
            return float(headers["retry-after-ms"]) / 1000
        return float(headers.get("retry-after", "0"))
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time()
    except (KeyError, ValueError, TypeError, OverflowError):
        return 0.0


def client(address: str, seconds: float, count: Callable[[], None]) -> BoundedClient:
    """A client for one address; UserError where the environment names a proxy that cannot be used."""
    proxy = proxy_of(address)
    try:
        _ = urlsplit(proxy or "").port  # raises where it is none
        return BoundedClient(loopback(host(address)), seconds, count)
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        more = "run pip install socksio, or name another" if isinstance(error, ImportError) else "name another, or none"
        raise UserError(f"The proxy {proxy} that the environment names cannot be used; {more}.") from None


async def models_there(address: str, seconds: float, key: str) -> Any:
    """What the server at an address says of its models; None where it says nothing. No limit counts this request."""
    async with client(address, seconds, lambda: None) as asking:
        try:
            headers = {"authorization": f"Bearer {key}"} if key else {}
            response = await asking.get(f"{address}/models", headers=headers)
        except (httpx2.HTTPError, UserError):
            return None
    return read_json(response.content)


def host(address: str) -> str:
    """The host of an address."""
    return urlsplit(address).hostname or ""


def proxy_of(address: str) -> str | None:
    """The proxy that the environment names for an address, without a password; None for none, and for this machine itself."""
    proxies = getproxies()
    named = proxies.get(urlsplit(address).scheme) or proxies.get("all")
    if not named or loopback(host(address)) or proxy_bypass(host(address)):
        return None
    return re.sub("//[^/]*@", "//", named)


def broken(cause: BaseException | None) -> tuple[str, str]:
    """What kind of fault of a connection this is, and what may help."""
    if "SSL" in str(cause) or "TLS" in str(cause):
        return "cannot be reached safely", "check http:// or https:// in the address, and the server's certificate."
    if isinstance(cause, httpx2.ProxyError):
        return "cannot be reached", "does the proxy run, and let requests through?"
    if isinstance(cause, (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)):
        return "broke off its answer", "look at the server."
    return "cannot be reached", "does the server run?"


def message(response: Response) -> str:
    """What a response says went wrong: the message in its body, else the body itself."""
    body = read_json(response.content)
    error = error_in(body) or body
    said = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    return said if isinstance(said, str) else response.content[:2000].decode(errors="replace")
