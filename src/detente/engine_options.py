"""The options of what answers for language models: the engine of this process, or vLLM servers. Must not import torch."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from detente.options import Options

EXAMPLE = "engine.urls=[http://127.0.0.1:8000]"
SHORT = {"engine": "kind", "executor": "kind", "curriculum": "method"}  # groups of options that one of them may stand for


class EngineOptions(Options):
    """What answers for language models. May be changed on an existing run; ``engine=vllm`` is short for ``engine.kind=vllm``."""

    kind: Literal["transformers", "vllm"] = Field("transformers", description="transformers: this process; vllm: servers")
    urls: tuple[str, ...] = Field((), description="vllm: the servers, e.g. [http://127.0.0.1:8000]; see detente serve-engine")
    folder: str | None = Field(
        None, description="vllm: a folder that this machine and the servers see, through which adapters go (unset: a temporary one)"
    )
    timeout: float = Field(600.0, gt=0, le=86_400, description="vllm: seconds within which a server gives a whole answer")
    retries: int = Field(5, ge=0, le=100, description="vllm: how often servers are asked again, ever later, once none answers")
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        None, description="vllm: number format of the servers, which bounds what the audit takes for rounding (unset: dtype)"
    )

    @field_validator("urls")
    @classmethod
    def _addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        plain = tuple(_address(url) for url in urls)
        if twice := next((url for url in plain if plain.count(url) > 1), None):
            raise ValueError(f"{twice} is named twice")
        return plain

    @model_validator(mode="after")
    def _complete(self) -> EngineOptions:
        if self.kind == "vllm" and not self.urls:
            raise ValueError(f"vllm needs the addresses of its servers, e.g. {EXAMPLE}; detente serve-engine MODEL starts one")
        return self


def spelled_out(options: dict[str, Any]) -> dict[str, Any]:
    """``{"engine": "vllm"}`` -> ``{"engine": {"kind": "vllm"}}``, and likewise for the others of ``SHORT``; all else as it is."""
    return options | {key: {name: options[key]} for key, name in SHORT.items() if isinstance(options.get(key), str)}


def _address(url: str) -> str:
    """``http://host:8000`` for ``http://host:8000/v1/``; ValueError for what is no address of a server."""
    wrong = f"{url!r} is no address of a server; those look like http://127.0.0.1:8000"
    if any(not "!" <= letter <= "~" for letter in url):
        raise ValueError(wrong)
    try:
        parts = urlsplit(url)
        fits = parts.port != 0 and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        raise ValueError(wrong) from None
    if not fits or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(wrong)
    return url.rstrip("/").removesuffix("/v1")
