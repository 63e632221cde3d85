"""The first fault of content that was read, in a few words. Must not import torch."""

from __future__ import annotations

from pydantic import ValidationError

SAID = {"model_type": "it is no mapping", "dict_type": "it is no mapping", "list_type": "it is no list", "missing": "it is missing"}


def first_fault(error: ValidationError) -> str:
    """The first fault of a validation in a few words, ``learners.main.self_play: input should be a valid dictionary``."""
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    message = SAID.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    return f"{place + ': ' if place else ''}{message[0].lower()}{message[1:]}"
