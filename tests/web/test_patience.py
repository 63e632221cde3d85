"""Half a request, over a real socket: closed after a while, and in nobody's way."""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detente.web.patience import PatientProtocol
from tests.web.serving import Server

HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /play HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\n"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(PatientProtocol, "patience_s", 0.4)
    with Server(tmp_path) as running:
        yield running


def connect(server: Any) -> socket.socket:
    return socket.create_connection(server.socket.getsockname(), timeout=10)


def read(connection: socket.socket) -> bytes:
    """Everything until the server closes the connection."""
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("sent", [b"", b"GET /", HEAD, POST, POST + b"game="], ids=["nothing", "word", "head", "no body", "half"])
def test_half_a_request_is_given_up(server: Any, sent: Any) -> None:
    with connect(server) as connection:
        connection.sendall(sent)
        started = time.monotonic()
        with urllib.request.urlopen(server.address, timeout=10) as answer:  # others are answered meanwhile
            assert answer.status == 200
        assert b" 200 " not in read(connection)
        assert time.monotonic() - started < 5


def test_one_byte_now_and_then_is_no_way_around(server: Any) -> None:
    started = time.monotonic()
    with connect(server) as connection:
        connection.settimeout(0.05)
        while time.monotonic() - started < 5:
            try:
                connection.sendall(b"G")
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert time.monotonic() - started < 5


def test_a_whole_request_takes_its_time_and_a_second_one_is_answered_too(server: Any) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD[:9])
        time.sleep(0.2)
        connection.sendall(HEAD[9:] + b"\r\n")
        assert connection.recv(1 << 20).startswith(b"HTTP/1.1 200")
        time.sleep(0.6)  # longer than half a request may take
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        assert b"HTTP/1.1 200" in read(connection)
