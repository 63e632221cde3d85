"""The pages on a free port, in a thread."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from types import TracebackType

import uvicorn

from detente import web
from detente.web.patience import PatientProtocol


class Server:
    """``with Server(folder) as server: server.address``."""

    def __init__(self, folder: Path, **options: float) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.app = web.build(folder, **options)  # type: ignore[arg-type]
        self.server = uvicorn.Server(
            uvicorn.Config(self.app, http=PatientProtocol, log_level="critical", timeout_graceful_shutdown=1)
        )
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def __enter__(self) -> Server:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.socket.close()
