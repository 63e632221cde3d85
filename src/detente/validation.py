"""The first fault of a set of options as one sentence, which names the option and what it may be. Must not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import ValidationError

from detente.errors import as_typed, unknown
from detente.options import Options

LONGEST = 80  # characters of a wrong value that a sentence repeats
WORDS = {  # where pydantic speaks of Python
    "tuple_type": "it is a list, e.g. [a,b]",
    "dict_type": "it has options of its own",
    "model_type": "it has options of its own",
}
MAPPED = {  # where YAML made a mapping of what was typed
    "string_type": "it is text, no mapping, which a colon before a space or at the end makes; code of your own is module:attribute",
    "tuple_type": "it is a list in square brackets, e.g. [a,b], and no mapping in curly ones",
}


def sentence(error: ValidationError, model: type[Options], prefix: str = "") -> str:
    """The first fault of a validation, as one sentence with the dotted key."""
    fault = error.errors()[0]
    path = [str(part) for part in fault["loc"]]
    key = prefix + ".".join(path)
    if fault["type"] == "extra_forbidden":
        known = _keys_at(model, path[:-1])
        return str(unknown("option", key, (prefix + ".".join([*path[:-1], k]) for k in known)))
    if fault["type"] == "value_error":
        return f"{key + ': ' if key else ''}{fault['ctx']['error']}."
    if fault["type"] in MAPPED and isinstance(fault.get("input"), dict):
        return f"The option {key} is wrong: {MAPPED[fault['type']]}."
    message = WORDS.get(fault["type"], fault["msg"])
    return f"The option {key} is wrong: {message[0].lower()}{message[1:]}, not {as_typed(fault.get('input'), LONGEST)}."


def no_whole_groups(episodes: int, size: int) -> str:
    """That so many episodes are no whole number of groups of this size, and the nearest numbers that would be right."""
    below = episodes // size * size
    counts = [number for number in (below, below + size) if number]
    divisors = [number for number in range(2, episodes + 1) if episodes % number == 0]
    sizes = [*[number for number in divisors if number < size][-1:], *[number for number in divisors if number > size][:1]]
    right = [f"{name}={' or '.join(map(str, near))}" for name, near in (("episodes", counts), ("group_size", sizes)) if near]
    return f"episodes ({episodes}) must be a multiple of group_size ({size}); try {', or '.join(right)}"


def _keys_at(model: type[Options], path: Sequence[str]) -> list[str]:
    options: Any = model
    for part in path:
        options = options.model_fields[part].annotation if hasattr(options, "model_fields") else get_args(options)[1]
    return list(options.model_fields)
