"""Real vLLM servers on pocket32, in the environment that VLLM_ENV names: each is started once, while tests run on others."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from detente.engines.vllm.command import Serving
from detente.pocket.pocket32 import save_pocket32

START_S = 900.0  # within which a server is ready on a machine that does other things too


class VLLM:
    """A server that was started; ``kill`` ends its engine as the kernel does where memory is short."""

    def __init__(self, serving: Serving, log: Path, **flags: str) -> None:
        self.url, self.log = f"http://127.0.0.1:{serving.port}", log
        words = serving.words(str(Path(os.environ["VLLM_ENV"]) / "bin" / "vllm"))
        for flag, value in flags.items():
            words[words.index(f"--{flag.replace('_', '-')}") + 1] = value
        environment = os.environ | dict(serving.environment) | {"VLLM_NO_USAGE_STATS": "1"}
        with log.open("w") as output:
            self.process = subprocess.Popen(words, env=environment, stdout=output, stderr=output, start_new_session=True)

    def ready(self) -> VLLM:
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return self
            except OSError:
                time.sleep(1)
        pytest.fail(f"the server does not come up: {self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        os.killpg(self.process.pid, 9)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()


@pytest.fixture(scope="session")
def pocket32(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_pocket32(tmp_path_factory.mktemp("model") / "pocket32"))


@pytest.fixture(scope="session")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., VLLM]]:
    """``vllm(name, folder, flag=value)`` starts a server, or gives the one that was started under that name."""
    if not os.environ.get("VLLM_ENV"):
        pytest.skip("VLLM_ENV names no environment with vLLM; make test-vllm makes one")
    logs, started = tmp_path_factory.mktemp("vllm"), {}

    def start(name: str, folder: str, **flags: str) -> VLLM:
        if name not in started:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                serving = Serving(folder, folder, "127.0.0.1", free.getsockname()[1], 0, "float32", 4, 8, 2048, True)
            started[name] = VLLM(serving, logs / f"{name}.log", **flags)
        return started[name]

    yield start
    for server in started.values():
        server.stop()


@pytest.fixture
def on_vllm(open_run: Callable[..., Any], pocket32: str) -> Iterator[Callable[..., Any]]:
    """``on_vllm([server], key=value)`` opens a run on pocket32 whose answers come from these servers, its adapter shaken."""
    opened = []

    def begin(servers: list[VLLM], **options: Any) -> Any:
        urls = [server.ready().url for server in servers]
        about = {"model": pocket32, "lora": {"rank": 8, "alpha": 16}, "answer": {"max_tokens": 60}}
        opened.append(open_run(**about | options | {"engine": {"kind": "vllm", "urls": urls, "retries": 0}}))
        return opened[-1].shake(size=0.02)

    yield begin
    for run in opened:
        run.session.close()
