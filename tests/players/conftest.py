"""Two endpoints on this machine: one that does as the test says, and transformers' own server with the model pocket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class Endpoint:
    """Answers each request with the next step of ``script``, and with the last one for ever. ``asked`` holds what it was sent."""

    def __init__(self, url: Any) -> None:
        self.url = url
        self.begin()

    def begin(self, *script: Any) -> None:
        self.script = list(script)
        self.asked: list[Any] = []
        self.keys: list[Any] = []
        self.times: list[float] = []
        self.models: Any = {}  # what it says of its models
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()

    @property
    def name(self) -> Any:
        return f"openai:some/model:1b@{self.url}"

    def handle(self, handler: Any) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self.lock:
            self.asked.append(body)
            self.keys.append(handler.headers["authorization"])
            self.times.append(time.monotonic())
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            step(handler)
        finally:
            with self.lock:
                self.under_way -= 1

    # What a step can be

    @staticmethod
    def says(text: Any, tokens: int = 10, finish: str = "stop", after: float = 0.0) -> Any:
        message = {"role": "assistant", "content": text}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        body["choices"] = [{"index": 0, "message": message, "finish_reason": finish}]
        if tokens is not None:
            body["usage"] = {"prompt_tokens": tokens - 1, "completion_tokens": 1, "total_tokens": tokens}
        return Endpoint.sends(json.dumps(body), after=after)

    @staticmethod
    def sends(text: Any, status: int = 200, after: float = 0.0, **headers: Any) -> Any:
        def step(handler: Any) -> None:
            time.sleep(after)
            handler.send_response(status)
            for key, value in {"content-type": "application/json", **headers}.items():
                handler.send_header(key.replace("_", "-"), value)
            handler.send_header("content-length", str(len(text.encode())))
            handler.end_headers()
            handler.wfile.write(text.encode())

        return step

    @staticmethod
    def fails(status: Any, message: str = "no", **headers: Any) -> Any:
        """An error as OpenAI words it; the client is told to try again soon, where it tries again."""
        return Endpoint.sends(json.dumps({"error": {"message": message}}), status, **({"retry_after_ms": "1"} | headers))

    @staticmethod
    def drops(handler: Any) -> None:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def listening() -> Iterator[Any]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer goes out in one piece, and at once

        def do_GET(self) -> None:
            Endpoint.sends(json.dumps(endpoint.models))(self)  # type: ignore[attr-defined]

        def do_POST(self) -> None:
            endpoint.handle(self)  # type: ignore[attr-defined]

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # a client that gave up waiting is part of the tests
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/v1")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield endpoint
        server.shutdown()


@pytest.fixture(scope="session")
def one_endpoint() -> Iterator[Any]:
    with listening() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(one_endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An endpoint with a script of its own for each test; nobody has a key."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    one_endpoint.begin()
    return one_endpoint


@pytest.fixture(scope="session")
def served_pocket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The name of a player: pocket behind ``transformers serve``."""
    from detente import pocket

    folder = tmp_path_factory.mktemp("served")
    (folder / "pocket").symlink_to(Path(pocket.__file__).parent / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("transformers"), "serve", "pocket", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)  # type: ignore[arg-type]
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, folder / "log")
        yield f"openai:pocket@http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


def wait_for(url: Any, server: Any, log: Any, seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the server does not come up: {log.read_text()}")
