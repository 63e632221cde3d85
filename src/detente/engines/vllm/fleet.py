"""Several servers with the same base model and the same adapters.

    chat ── rendezvous hash ──> one of the servers that live, always the same while it lives ── fails ──> the next one

A server that fails is asked no more; when adapters are published, or when none is left, those that failed are asked again, and
get every adapter before any chat. Must not import torch.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from detente.engines.vllm.server import Fault, Server
from detente.errors import ServiceError

log = logging.getLogger(__name__)

PAUSE_S = 30.0  # the longest wait before servers are asked again


class Fleet:
    """``retries``: how often the servers are asked again once none of them answers."""

    def __init__(self, servers: Sequence[Server], retries: int) -> None:
        self.servers = tuple(servers)
        self._retries = retries
        self._folders: dict[str, Path] = {}  # of every adapter that each server must have
        self._lost: dict[Server, Fault] = {}
        self._changing = threading.Lock()

    @property
    def live(self) -> list[Server]:
        """The servers that have not failed."""
        return [server for server in self.servers if server not in self._lost]

    def publish(self, name: str, folder: Path) -> None:
        """Have an adapter served by all servers; ServiceError where one cannot, or none is there."""
        self._call_back()
        self._folders[name] = folder
        try:
            self._everywhere(lambda server: self._give(server, name))
            if not self.live:
                raise self._none_left()
        except ServiceError:
            self.withdraw(name)
            raise

    def withdraw(self, name: str) -> None:
        """Have an adapter served no more."""
        del self._folders[name]
        self._everywhere(lambda server: server.unload(name))

    async def complete(self, chat: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], Server]:
        """Continue a prompt of a chat, and who did; ServiceError where a server refuses it, or none answers any more."""
        for attempt in range(self._retries + 1):
            if attempt:
                await asyncio.sleep(min(2.0 ** (attempt - 1), PAUSE_S))
                await asyncio.to_thread(self._call_back)
            for server in ranked(chat, self.servers):
                if server not in self._lost:
                    try:
                        return await self._answered(server, body), server
                    except Fault as fault:
                        self._lose(server, fault)
        raise self._none_left()

    def close(self) -> None:
        """Withdraw all adapters, and let go of the connections."""
        for name in tuple(self._folders):
            self.withdraw(name)
        for server in self.servers:
            server.close()

    async def _answered(self, server: Server, body: Mapping[str, Any]) -> dict[str, Any]:
        """A server's answer; an adapter that it does not know is published there again. Fault where the server is lost."""
        name = str(body["model"])
        for last in (False, True):
            try:
                return await server.complete(body)
            except Fault as fault:
                if fault.status == 404 and name in self._folders and not last:
                    log.warning("%s does not know the adapter %s; it is published there again.", server.url, name)
                    await asyncio.to_thread(self._give, server, name)
                elif fault.status is None or fault.status >= 500 or fault.status in (408, 429):
                    raise
                else:
                    raise ServiceError(f"The server {server.url} refuses a request: {fault}; look at its log.") from None
        raise AssertionError("the second try has returned or raised")

    def _give(self, server: Server, name: str) -> None:
        """Have one server serve an adapter; ServiceError where it refuses, Fault where it is lost."""
        folder = self._folders[name]
        try:
            server.load(name, str(folder))
            if not any(model.name == name for model in server.models()):
                raise ServiceError(f"The server {server.url} has loaded the adapter {name} and does not list it; look at its log.")
        except Fault as fault:
            if not server.lives():
                raise
            raise ServiceError(
                f"The server {server.url} cannot serve the adapter {name} from {folder}: {fault}; it needs --enable-lora, a "
                "--max-lora-rank of lora.rank at least, and an engine.folder that it sees."
            ) from None

    def _everywhere(self, act: Callable[[Server], None]) -> None:
        """Do something with all servers that live; those that cannot be asked are lost."""

        def attempt(server: Server) -> None:
            try:
                act(server)
            except Fault as fault:
                self._lose(server, fault)

        if live := self.live:
            with ThreadPoolExecutor(len(live)) as threads:
                list(threads.map(attempt, live))

    def _call_back(self) -> None:
        """Ask the lost servers again; one that answers lives on, once it has every adapter."""
        with self._changing:
            for server in filter(Server.lives, tuple(self._lost)):
                with suppress(Fault):
                    known = {model.name for model in server.models()}
                    for name in self._folders.keys() - known:
                        self._give(server, name)
                    del self._lost[server]
                    log.warning("The server %s is back.", server.url)

    def _lose(self, server: Server, fault: Fault) -> None:
        if server not in self._lost:
            log.warning("The server %s is lost (%s); its chats go to others.", server.url, fault)
        self._lost[server] = fault

    def _none_left(self) -> ServiceError:
        faults = "; ".join(f"{server.url}: {fault}" for server, fault in self._lost.items())
        return ServiceError(
            f"No server of engine.urls answers any more ({faults}); look at their logs, and run the same command again."
        )


def ranked(chat: str, servers: Iterable[Server]) -> list[Server]:
    """The servers in the order in which they get this chat: where one is missing, the chats of all others stay where they are."""
    return sorted(servers, key=lambda server: sha256(f"{chat} {server.url}".encode()).digest())
