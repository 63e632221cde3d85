"""A game as an environment of verifiers: its own validation, and an evaluation of a stub of a model behind an endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("verifiers", reason="verifiers is not installed: make test-ecosystem brings it")

from detente import play
from detente.environments.verifiers import DilemmaConfig, table_of
from detente.errors import UserError

pytestmark = pytest.mark.ecosystem
TASKSET = "detente-social-dilemmas"


class Says(BaseHTTPRequestHandler):
    """A model that says <A> to everything, in a stream."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        said = {"index": 0, "delta": {"role": "assistant", "content": "<A>"}, "finish_reason": None}
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        parts = [chunk | {"choices": [said]}, chunk | {"choices": [end], "usage": usage}]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write("".join(f"data: {part}\n\n" for part in [*map(json.dumps, parts), "[DONE]"]).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Says)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


def command(folder: Path, name: str, *arguments: str) -> str:
    """What a command of verifiers prints; it must succeed."""
    program = Path(sys.executable).parent / name
    environment = os.environ | {"STUB_KEY": "none"}
    done = subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_verifiers_accepts_the_taskset(tmp_path: Path) -> None:
    options = ["--taskset.game", "trust_and_split", "--taskset.opponent", "fair_half", "-n", "2"]
    printed = command(tmp_path, "vf-validate", TASKSET, *options, "--only-setup", "--runtime.type", "subprocess")
    assert '"valid": 2' in printed


def test_a_model_earns_what_our_own_play_pays(tmp_path: Path, endpoint: str) -> None:
    game = [
        "--env.taskset.opponent",
        "random",
        "--env.taskset.seed",
        "3",
        "--env.taskset.overrides",
        '["game.rounds=3"]',
        "-n",
        "2",
    ]
    client = ["-m", "m", "--client.base-url", endpoint, "--client.api-key-var", "STUB_KEY", "--push", "False"]
    agent = ["--env.player.harness.id", "null", "--env.player.runtime.type", "subprocess"]
    command(tmp_path, "vf-eval", TASKSET, *game, *client, *agent)
    (file,) = tmp_path.glob("outputs/*/traces.jsonl")
    traces = [trace for line in file.read_text(encoding="utf-8").splitlines() for trace in json.loads(line)["traces"]]
    ours = {
        f"ipd#{e.seed}": e for e in play("ipd", ["always_cooperate", "random"], seed=3, episodes=2, overrides=["game.rounds=3"])
    }
    assert {trace["task"]["data"]["name"] for trace in traces} == {*ours}
    for trace in traces:
        episode = ours[trace["task"]["data"]["name"]]
        assert trace["rewards"]["points"]["score"] == pytest.approx(episode.mean_reward(0))
        assert trace["metrics"] == pytest.approx({"opponent_reward": episode.mean_reward(1), "invalid": 0.0})


@pytest.mark.parametrize(("given", "right"), [({"game": "idp"}, "did you mean 'ipd'"), ({"seat": 2}, "seats 0 to 1")])
def test_what_makes_no_taskset_is_a_sentence(given: dict[str, Any], right: str) -> None:
    with pytest.raises(UserError, match=right):
        table_of(DilemmaConfig(**given).model_dump_json())
