"""A hub of this process: the routes that huggingface_hub asks for models, and what the hub demands of a card."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml

TOKENS = {"hf_good": "ada"}
REVISIONS = r"/api/models/([^/]+/[^/]+)(?:/revision/([^/?]+))?"


class Hub:
    """``repositories`` holds the files of each by name; ``asked`` the routes in order."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.asked: list[str] = []

    def post(self, route: str, body: bytes, user: str | None) -> tuple[int, Any]:
        if route == "/api/validate-yaml":
            errors = faults(json.loads(body)["content"])
            return (400 if errors else 200), {"errors": [{"message": error} for error in errors], "warnings": []}
        if user is None:
            return 401, {"error": "Invalid username or password."}
        if route == "/api/repos/create":
            return self.create(json.loads(body), user)
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", route)
        if match is None or match[1] not in self.repositories:
            return 404, {"error": "Repository not found"}
        if match[2] == "preupload":
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            return 200, {"files": files}
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.repositories[match[1]][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        oid = self.commit(match[1])
        return 200, {"commitUrl": f"{self.address}/{match[1]}/commit/{oid}", "commitOid": oid, "pullRequestUrl": None}

    def create(self, asked: dict[str, Any], user: str) -> tuple[int, Any]:
        name = f"{asked['organization'] or user}/{asked['name']}"
        if asked["organization"] not in (None, user):
            return 403, {"error": "You don't have the rights to create a model under this namespace"}
        if name in self.repositories:
            return 409, {"error": "You already created this model repo", "url": f"{self.address}/{name}"}
        self.repositories[name] = {}
        self.private |= {name} if asked.get("visibility") == "private" else set()
        return 200, {"url": f"{self.address}/{name}"}

    def get(self, route: str) -> tuple[int, Any, dict[str, str]]:
        if match := re.fullmatch(REVISIONS, route):
            name, revision = match[1], match[2] or "main"
            if name not in self.repositories:
                return 401, {"error": "Invalid username or password."}, {}
            if revision not in ("main", self.commit(name)):
                return 404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"}
            files = [{"rfilename": file, "size": len(content)} for file, content in self.repositories[name].items()]
            return 200, {"id": name, "sha": self.commit(name), "siblings": files, "private": False}, {}
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", route)
        assert match is not None, route
        content = self.repositories[match[1]][match[3]]
        return 200, content, {"X-Repo-Commit": match[2], "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}

    def commit(self, name: str) -> str:
        """What identifies the present files."""
        return hashlib.sha1(repr(sorted(self.repositories[name].items())).encode()).hexdigest()

    address = ""


def faults(card: str) -> list[str]:
    """What the hub's validation says of the metadata of a card, in the parts of it that cards of ours have."""
    match = re.match(r"---\n(.*?)\n---\n", card, flags=re.DOTALL)
    data = yaml.safe_load(match[1]) if match else None
    if not isinstance(data, dict):
        return ["empty or missing yaml metadata in repo card"]
    wrong = [
        f'"{key}" must be a string' for key in ("license", "library_name", "pipeline_tag") if not isinstance(data.get(key), str)
    ]
    if not all(isinstance(tag, str) and re.fullmatch(r"[\w.:-]+", tag) for tag in data.get("tags", ())):
        wrong.append('"tags" must be an array of strings')
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", data.get("base_model", "a/b")):
        wrong.append('"base_model" with value "..." is not valid. Use a model id from https://hf.co/models.')
    for entry in data.get("model-index", ()):
        for result in entry["results"] if isinstance(entry.get("name"), str) else [{}]:
            if not (result.get("task", {}).get("type") and {"name", "type"} <= result.get("dataset", {}).keys()):
                wrong.append('"model-index[0].results[0].dataset" is required')
            if not all(
                metric.get("type") and isinstance(metric.get("value"), float | int) for metric in result.get("metrics", ({},))
            ):
                wrong.append('"model-index[0].results[0].metrics" is required')
    return wrong


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub that huggingface_hub asks, with a token of its user ada."""
    from huggingface_hub import constants

    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, content: Any, headers: dict[str, str]) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                with suppress(BrokenPipeError):
                    self.wfile.write(body)

        def do_GET(self) -> None:
            route = self.path.partition("?")[0]
            state.asked.append(route)
            self.answer(*state.get(route))

        do_HEAD = do_GET  # noqa: N815

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.asked.append(self.path)
            user = TOKENS.get((self.headers["Authorization"] or "").removeprefix("Bearer "))
            self.answer(*state.post(self.path, body, user), {})

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", state.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", state.address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    yield state
    server.shutdown()
    server.server_close()
