"""Requests that do not arrive completely in time are given up, so that connections cannot be held open by half a request.

a connection opens, or a request begins ── complete in time? ── yes ──> answered
                                                           └── no ──> closed
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE_S = 20.0


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with ``patience_s`` seconds for each request to arrive completely."""

    patience_s = PATIENCE_S
    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def _wait(self) -> None:
        """Start the clock where a request is incomplete, stop it where it is complete."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop()
        elif self._end is None:
            self._end = self.loop.call_later(self.patience_s, self.transport.close)

    def _stop(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
