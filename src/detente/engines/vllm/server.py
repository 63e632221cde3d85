"""One vLLM server: its routes, and what goes wrong on the way there and back.

    models, version, slots ── load, unload an adapter ── complete (one answer) ──> JSON, or a Fault

The key of servers that want one comes from VLLM_API_KEY. Must not import torch.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx2

from detente.together import PerLoop

KEY = "VLLM_API_KEY"  # where the key stands in the environment, for vLLM itself too
CONNECT_S = 10.0
SHOWN = 300  # characters of what a server says that are worth a place in an error
LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


@dataclass
class Fault(Exception):  # noqa: N818 (it is no error of the run's until nobody helps)
    """What a server said in place of an answer; ``status`` is None where it said nothing."""

    status: int | None
    said: str

    def __str__(self) -> str:
        return self.said if self.status is None else f"{self.status}, {self.said}"


@dataclass(frozen=True)
class Served:
    """A model that a server has: the base model, or an adapter on it. ``root`` is the folder or hub id that it was read from."""

    name: str
    root: str
    adapter: bool
    longest: int | None


class Server:
    """A server at ``url``; ``timeout`` bounds a whole answer, in seconds.

    ``complete`` may be used from one event loop after another, everything else from any thread.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.url, self._timeout = url, timeout
        key = os.environ.get(KEY, "").strip()
        # A server is asked directly, whatever proxies the environment names.
        self._options: dict[str, Any] = {
            "base_url": url,
            "headers": {"authorization": f"Bearer {key}"} if key else {},
            "timeout": httpx2.Timeout(timeout, connect=min(CONNECT_S, timeout)),
            "trust_env": False,
        }
        self._client = httpx2.Client(**self._options)
        self._clients = PerLoop(self._open)

    def models(self) -> list[Served]:
        """What the server has; Fault where it does not say."""
        listed = self._ask("GET", "/v1/models").get("data")
        cards = [card for card in listed if isinstance(card, dict)] if isinstance(listed, list) else []
        return [_served(card) for card in cards if isinstance(card.get("id"), str)]

    def version(self) -> str:
        """The version that the server says it has; "" where it does not say."""
        try:
            return str(self._ask("GET", "/version").get("version", ""))
        except Fault:
            return ""

    def lives(self) -> bool:
        """Whether the engine behind the routes can answer."""
        try:
            return self._client.get("/health").status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False

    def slots(self) -> int | None:
        """Adapters that one pass of the server can mix (--max-loras); None where it does not say."""
        with suppress(httpx2.HTTPError):
            if named := re.search(r'max_lora="(\d+)"', self._client.get("/metrics").text):
                return int(named[1]) or None
        return None

    def has(self, route: str) -> bool:
        """Whether there is such a route for POST: asked with GET, it answers "method not allowed"."""
        try:
            return self._client.get(route).status_code == httpx2.codes.METHOD_NOT_ALLOWED
        except httpx2.HTTPError as error:
            raise _broken(error) from None

    def load(self, name: str, folder: str) -> None:
        """Have an adapter of that folder served under a name; that it is served already, from there, is no Fault."""
        try:
            self._ask("POST", LOAD, {"lora_name": name, "lora_path": folder})
        except Fault as fault:
            if fault.status is None or not any(model.name == name and model.root == folder for model in self.models()):
                raise

    def unload(self, name: str) -> None:
        """Serve an adapter no more; that it is not there is no Fault."""
        try:
            self._ask("POST", UNLOAD, {"lora_name": name})
        except Fault as fault:
            if fault.status not in (400, 404):
                raise

    def complete_now(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """``complete`` for callers that are not async."""
        return self._ask("POST", "/v1/completions", body)

    async def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Continue a prompt; whoever is cancelled meanwhile drops the connection, which ends the work there too."""
        client = await self._clients.get()
        try:
            async with asyncio.timeout(self._timeout):
                return _read(await client.post("/v1/completions", json=body))
        except TimeoutError:
            raise Fault(None, f"it gave no whole answer within engine.timeout={self._timeout:g} s") from None
        except httpx2.HTTPError as error:
            raise _broken(error) from None

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _ask(self, method: str, route: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            return _read(self._client.request(method, route, json=body))
        except httpx2.HTTPError as error:
            raise _broken(error) from None

    async def _open(self) -> AsyncGenerator[httpx2.AsyncClient]:
        client = httpx2.AsyncClient(**self._options, limits=httpx2.Limits(max_connections=None))
        try:
            yield client
        finally:
            await client.aclose()


def _served(card: Mapping[str, Any]) -> Served:
    longest = card.get("max_model_len")
    return Served(card["id"], str(card.get("root") or ""), bool(card.get("parent")), longest if type(longest) is int else None)


def _read(response: httpx2.Response) -> dict[str, Any]:
    """The JSON object of an answer, {} for an answer that is none; Fault for any status but 200."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.status_code != httpx2.codes.OK:
        error = body.get("error", body) if isinstance(body, dict) else response.reason_phrase
        said = error.get("message") or error.get("detail") if isinstance(error, dict) else error
        raise Fault(response.status_code, _short(str(said or "nothing")))
    return body if isinstance(body, dict) else {}


def _broken(error: httpx2.HTTPError) -> Fault:
    refused = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
    return Fault(None, "nothing listens there" if refused else f"it broke off: {_short(str(error) or type(error).__name__)}")


def _short(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return f"{line[:SHOWN]}..." if len(line) > SHOWN else line
