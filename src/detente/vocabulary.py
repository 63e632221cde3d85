"""Removes from a tokenizer the tokens that its model cannot read.

    tokenizer with 262,145 tokens, model with 262,144 rows ── within ──> tokenizer with 262,144 tokens

Some models come with added tokens, for pictures or padding, that have no embedding. Without them the tokenizer encodes the same
texts, and no such token can be read, drawn or forced. Must not import torch.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from detente.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def within(tokenizer: PreTrainedTokenizerBase, rows: int, used: Iterable[int] = ()) -> PreTrainedTokenizerBase:
    """The tokenizer without the added tokens from ``rows`` on; itself where there are none.

    UserError where a token in ``used`` would be removed, where tokens that were not added have no embedding, and for a tokenizer
    that is not of the Rust library.
    """
    name, backend = tokenizer.name_or_path, getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise UserError(f"The tokenizer of '{name}' is of a kind that guided decoding cannot use; save a tokenizer.json beside it.")
    beyond = {token for token, index in tokenizer.get_vocab().items() if index >= rows}
    if not beyond:
        return tokenizer
    if lost := [token for token in used if token >= rows]:
        token = tokenizer.convert_ids_to_tokens(lost[0])
        raise UserError(f"The chat template of '{name}' writes {token!r}, for which the model has no embedding; use another model.")
    made = json.loads(backend.to_str())
    made["added_tokens"] = [token for token in made["added_tokens"] if token["id"] < rows]
    smaller = copy.deepcopy(tokenizer)
    smaller._tokenizer = Tokenizer.from_str(json.dumps(made))  # as transformers itself does it
    for role, token in tokenizer.special_tokens_map.items():
        if token in beyond:
            setattr(smaller, role, None)
    left = [token for token, index in smaller.get_vocab().items() if index >= rows]
    if left:
        raise UserError(f"The model '{name}' has {rows} embeddings, too few for its tokenizer's tokens, such as {left[0]!r}.")
    return smaller
