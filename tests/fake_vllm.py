"""A vLLM server without vLLM, on a model of this process: the routes that the engine uses, and the faults that servers have.

It draws tokens one at a time with Transformers' own forward pass, and shares nothing with the engine but the grammar.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from detente import models
from detente.engines.grammar import Grammar
from detente.players.chat import ChatFormat


class FakeVLLM:
    """``faults`` says what is wrong with the server; "500", "drop" and "slow" hold for the next answers, as ``failing`` counts."""

    def __init__(self, folder: str, name: str = "") -> None:
        language_model = models.load(folder, device="cpu")
        self.tokenizer, self.folder, self.name = language_model.tokenizer, folder, name or folder
        ends = ChatFormat(self.tokenizer).end_tokens
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.grammar = Grammar(self.tokenizer, self.model.get_output_embeddings().weight.shape[0], ends)
        self.adapters: dict[str, str] = {}
        self.lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        self.faults: set[str] = set()
        self.failing, self.longest, self.slots = 0, 2048, 8
        self.asked: list[dict[str, Any]] = []
        self.loaded: list[str] = []
        self.adapters.clear()

    # ---- routes

    def get(self, route: str) -> tuple[int, Any]:
        if route == "/v1/models":
            base = {"id": self.name, "root": self.folder, "parent": None, "max_model_len": self.longest}
            return 200, {"data": [base, *({"id": n, "root": f, "parent": self.name} for n, f in self.adapters.items())]}
        if route == "/health":
            return (503 if "dead engine" in self.faults else 200), ""
        if route == "/metrics":
            return 200, f'vllm:lora_requests_info{{max_lora="{self.slots}"}} 1.0'
        if route == "/v1/load_lora_adapter":
            return (404 if "no lora" in self.faults else 405), {"detail": "Method Not Allowed"}
        return 200, {"version": "0.32.0"}

    def post(self, route: str, body: dict[str, Any]) -> tuple[int, Any]:
        with self.lock:
            if route == "/v1/completions":
                return self.complete(body)
            name = body["lora_name"]
            if self.faults & {"dead engine", "rank"}:
                return error(500, "EngineCore encountered an issue")
            if route == "/v1/unload_lora_adapter":
                return (200, "unloaded") if self.adapters.pop(name, None) else error(404, f"no adapter {name}")
            if name in self.adapters:
                return error(400, f"The lora adapter '{name}' has already been loaded.")
            self.adapters[name] = body["lora_path"]
            self.loaded.append(name)
            return 200, "loaded"

    def complete(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.asked.append(body)
        name = body["model"]
        if name != self.name and name not in self.adapters:
            return error(404, f"The model `{name}` does not exist.")
        tokens, places = self.drawn(body, self.weights_of(name))
        if "old" in self.faults:
            return 200, {"choices": [{"text": "<A>", "logprobs": None}]}
        logprobs = {
            "token_logprobs": [place[token] for token, place in zip(tokens, places, strict=True)],
            "top_logprobs": [self.likeliest(place, body["logprobs"]) for place in places],
        }
        reason = "stop" if tokens[-1] in self.grammar.end_tokens else "length"
        return 200, {"choices": [{"token_ids": tokens, "logprobs": logprobs, "finish_reason": reason}]}

    def weights_of(self, name: str) -> Any:
        """The model under a policy."""
        if name == self.name or "base for adapters" in self.faults:
            return self.model if not isinstance(self.model, PeftModel) else None
        peft = re.sub(r"\W", "_", self.adapters[name])
        if not isinstance(self.model, PeftModel):
            self.model = PeftModel.from_pretrained(self.model, self.adapters[name], adapter_name=peft)
        elif peft not in self.model.peft_config:
            self.model.load_adapter(self.adapters[name], adapter_name=peft)
        self.model.eval().set_adapter(peft)
        return self.model

    @torch.no_grad()
    def drawn(self, body: dict[str, Any], model: Any) -> tuple[list[int], list[Any]]:
        """The tokens of an answer, and in each place the log-probabilities of all."""
        generator = torch.Generator().manual_seed(body["seed"])
        pattern = (body.get("structured_outputs") or {}).get("regex") if "no mask" not in self.faults else None
        state = self.grammar.start(pattern) if pattern else None
        tokens: list[int] = []
        places = []
        while len(tokens) < body["max_tokens"]:
            raw = self.logits([*body["prompt"], *tokens], model)
            logits = raw / body["temperature"]
            if state is not None:
                logits[~torch.from_numpy(self.allowed(state))] = -torch.inf
            if "allowed_token_ids" in body:
                kept = torch.full_like(logits, -torch.inf)
                kept[body["allowed_token_ids"]] = logits[body["allowed_token_ids"]]
                logits = kept
            place = logits.log_softmax(-1)
            tokens.append(int(torch.multinomial(place.exp(), 1, generator=generator)))
            places.append((raw if "raw" in self.faults else logits).log_softmax(-1).clamp(min=-9999).tolist())
            if tokens[-1] in body["stop_token_ids"]:
                break
            if state is not None and not state.finished and tokens[-1] in state.allowed().nonzero()[0]:
                state = state.next(tokens[-1])
        return tokens, places

    def allowed(self, state: Any) -> Any:
        """Where an answer is complete an end token comes; xgrammar lets a certain text begin with its first letters."""
        mask = state.allowed()
        if state.finished:
            mask[sorted(self.grammar.end_tokens)] = True
        elif "xgrammar" in self.faults and state.forced is not None:
            certain = self.grammar.token_bytes(state.forced)
            spelled = {t: self.grammar.token_bytes(t) for t in self.tokenizer.get_vocab().values()}
            mask[[t for t, text in spelled.items() if text and certain.startswith(text)]] = True
        return mask

    def logits(self, tokens: list[int], model: Any) -> Any:
        ids = torch.tensor([tokens])
        if model is not None:
            return model(ids).logits[0, -1].clone()
        with self.model.disable_adapter():
            return self.model(ids).logits[0, -1].clone()

    @staticmethod
    def likeliest(place: Any, count: int) -> dict[str, float]:
        best = sorted(range(len(place)), key=lambda token: -place[token])[:count]
        return {f"token_id:{token}": place[token] for token in best}


def error(status: int, message: str) -> tuple[int, Any]:
    return status, {"error": {"message": message, "type": "Error", "code": status}}


@contextmanager
def listening(fake: FakeVLLM) -> Iterator[str]:
    """The address at which the server is asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            self.answer(*fake.get(self.path))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == "/v1/completions" and fake.failing:
                fake.failing -= 1
                if dropped := fake.faults & {"drop", "slow"}:
                    time.sleep(8.0 if "slow" in dropped else 0.0)  # until nobody waits for it any more
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if "500" in fake.faults:
                    self.answer(*error(500, "EngineCore encountered an issue"))
                    return
            self.answer(*fake.post(self.path, body))

        def answer(self, status: int, content: Any) -> None:
            text = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    with Listener(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_port}"
        listener.shutdown()
