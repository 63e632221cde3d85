"""How a remote model is held to the form of an answer: fields of the request, and what that makes of the reply.

    "structured_outputs" (vLLM)        {"structured_outputs": {"regex": ...}}     the reply is the answer
    "response_format" (OpenAI's)       a JSON schema of {"answer": ...}           the reply is JSON with the answer in it

Standard library only.
"""

from __future__ import annotations

import json
from typing import Any

STRUCTURED, SCHEMA, NONE, AUTO = "structured_outputs", "response_format", "none", "auto"


def fields(form: str, pattern: str | None) -> dict[str, Any]:
    """What a request says of the pattern; nothing without one."""
    if pattern is None or form not in (STRUCTURED, SCHEMA):
        return {}
    if form == STRUCTURED:
        return {STRUCTURED: {"regex": pattern}}
    answer = {"type": "string", "pattern": f"^(?:{pattern})$"}
    schema = {"type": "object", "properties": {"answer": answer}, "required": ["answer"], "additionalProperties": False}
    return {SCHEMA: {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}}


def answer(form: str, text: str) -> str:
    """The answer in a reply; a reply of another form than was asked for stays as it is."""
    if form != SCHEMA:
        return text
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text
    inner = said.get("answer") if isinstance(said, dict) else None
    return inner if isinstance(inner, str) else text


def understood(models: Any) -> str:
    """The form that a server understands, by what it says of its models (GET /models): vLLM's own, else none."""
    cards = models.get("data") if isinstance(models, dict) else None
    owners = {card.get("owned_by") for card in cards if isinstance(card, dict)} if isinstance(cards, list) else set()
    return STRUCTURED if "vllm" in owners else NONE
