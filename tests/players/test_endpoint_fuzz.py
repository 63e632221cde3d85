"""Whatever JSON an endpoint answers with: a reply or a sentence. A seeded generator damages a whole answer."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from detente.errors import UserError
from detente.options import RemoteOptions
from detente.players.endpoint import Budget, Endpoint

WHOLE = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "<A>"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
ODD: Any = (None, True, -1, 0.5, 10**30, "", "x", "\0", {}, [], [None], ["<A>"], {"code": 502}, {"message": {}})


def damaged(tree: Any, rng: Any) -> Any:
    """A copy in which one value is another, or gone; one in two times deeper down."""
    if isinstance(tree, (dict, list)) and tree and rng.random() < 0.75:
        keys = list(tree) if isinstance(tree, dict) else range(len(tree))
        chosen = rng.choice(list(keys))
        items = [
            (key, damaged(tree[key], rng) if key == chosen else tree[key]) for key in keys if key != chosen or rng.random() < 0.8
        ]
        return dict(items) if isinstance(tree, dict) else [value for _, value in items]
    return rng.choice(ODD)


@pytest.mark.parametrize("seed", range(40))
def test_an_answer_of_any_shape_is_a_reply_or_a_sentence(seed: int, endpoint: Any) -> None:
    body = json.dumps(damaged(WHOLE, random.Random(seed)))
    endpoint.begin(endpoint.sends(body))
    options = RemoteOptions(timeout=5, retries=0)
    asking = Endpoint(endpoint.name, {}, options, Budget(options))
    try:
        assert isinstance(asyncio.run(asking.ask([{"role": "user", "content": "<A> or <B>?"}])).text, str)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
