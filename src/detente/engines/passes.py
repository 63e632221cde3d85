"""One pass of the model over the new tokens of many chats, in one row without padding.

    asks ──> equal ones once, sorted by policy ──> [policy 1: new tokens ... | policy 2: new tokens ...] ──> hidden states

Chats of a policy that hold the same tokens and go on with the same ones are computed once; the keys and values are written
into the rows of all of them, so that each row stays complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from detente.engines import attention, head, lora
from detente.engines.adapters import Adapters
from detente.engines.cache import Pool
from detente.engines.chats import Chat, Chats
from detente.engines.layout import Piece, PoolPlan
from detente.errors import UserError


@dataclass(frozen=True, slots=True)
class Ask:
    """What follows these tokens, which come after the first ``seen`` of the chat?

    ``aside`` ones leave no trace in the chat; the others come after all that it holds.
    """

    chat: Chat
    tokens: Sequence[int]
    seen: int
    aside: bool = False


@dataclass(frozen=True)
class States:
    """The model after each of the asks: U last hidden states, sorted by policy, and which of them is each ask's."""

    hidden: Tensor  # (U, D)
    adapters: Sequence[str | None]  # (U,)
    of: Sequence[int]


class Passes:
    """Runs the model that ``adapters`` hold on rows of the pool."""

    def __init__(self, adapters: Adapters, pool: Pool, chats: Chats, longest: int, limit: str) -> None:
        self.adapters, self.pool, self.chats, self.longest, self.limit = adapters, pool, chats, longest, limit

    def run(self, asks: Sequence[Ask]) -> States:
        """Compute the new tokens and note them in their chats; UserError if one outgrows the model's context."""
        self._check_length(asks)
        names = {policy: self.adapters.name(policy) for policy in {ask.chat.policy for ask in asks}}
        groups: dict[tuple[object, ...], list[int]] = {}
        for i in sorted(range(len(asks)), key=lambda i: _order(asks[i].chat)):
            ask = asks[i]
            key = (i,) if ask.aside else (ask.chat.history, *ask.tokens)
            groups.setdefault(key, []).append(i)
        chosen = [[asks[i] for i in group] for group in groups.values()]
        pieces = _pieces(chosen)
        self.pool.reserve(self.pool.rows, max(piece.slot + piece.length for piece in pieces))
        adapters = [names[group[0].chat.policy] for group in chosen]
        hidden = self._hidden([group[0] for group in chosen], pieces, adapters)
        of = [0] * len(asks)
        for number, group in enumerate(groups.values()):
            for i in group:
                of[i] = number
                if not asks[i].aside:
                    self.chats.extend(asks[i].chat, asks[i].tokens)
        return States(hidden, adapters, of)

    def logits(self, states: States, tokens: Tensor | None = None) -> Tensor:
        """(U, V) float scores of the next token, or (U, n) of some tokens."""
        with lora.mixed(_parts(states.adapters, [1] * len(states.adapters))):
            return head.logits(self.adapters.model, states.hidden, tokens).float()

    def _hidden(self, asks: Sequence[Ask], pieces: Sequence[Piece], adapters: Sequence[str | None]) -> Tensor:
        """(U, D) the last hidden state of each ask."""
        model = self.adapters.model
        if model.training:
            model.eval()
        base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        device = base.get_input_embeddings().weight.device
        ids = torch.tensor([token for ask in asks for token in ask.tokens], device=device)
        counts = [piece.length for piece in pieces]
        positions = torch.tensor([ask.seen + i for ask in asks for i in range(len(ask.tokens))], device=device)
        plan = PoolPlan(self.pool, pieces, device)
        with lora.mixed(_parts(adapters, counts)):
            found: Tensor = base.get_decoder()(input_ids=ids[None], **attention.arguments(plan, positions)).last_hidden_state[0]
        if len(found) == len(pieces):
            return found
        return found[torch.tensor(list(accumulate(counts)), device=device) - 1]

    def _check_length(self, asks: Sequence[Ask]) -> None:
        longest = max(ask.seen + len(ask.tokens) for ask in asks)
        if longest > self.longest:
            raise UserError(
                f"A chat has grown to {longest} tokens, more than the {self.longest} of the model's {self.limit}; "
                "play fewer rounds or allow fewer tokens per answer (answer.max_tokens)."
            )


def _order(chat: Chat) -> tuple[str, str, int, int]:
    """Where a chat's tokens stand in a pass; last bits depend on it, so it must not depend on what was played before."""
    policy = chat.policy
    return policy.kind, policy.name, policy.version, chat.row


def _pieces(chosen: Sequence[Sequence[Ask]]) -> list[Piece]:
    """Where the new tokens of each group of equal asks go; asides lie behind all that their chat holds."""
    ends: dict[int, int] = {}
    for group in chosen:
        for ask in group:
            if not ask.aside:
                ends[ask.chat.row] = ask.seen + len(ask.tokens)
    pieces = []
    for first, *others in chosen:
        slot = ends.get(first.chat.row, len(first.chat.tokens)) if first.aside else first.seen
        if first.aside:
            ends[first.chat.row] = slot + len(first.tokens)
        pieces.append(Piece(first.chat.row, first.seen, slot, len(first.tokens), tuple(ask.chat.row for ask in others)))
    return pieces


def _parts(adapters: Sequence[str | None], counts: Sequence[int]) -> list[lora.Part]:
    """The slices of the packed tokens that belong to each adapter."""
    ends = accumulate(counts, initial=0)
    spans = [(name, start, stop) for name, (start, stop) in zip(adapters, pairwise(ends), strict=True)]
    joined = [(name, list(group)) for name, group in groupby(spans, key=lambda span: span[0])]
    return [(name, group[0][1], group[-1][2]) for name, group in joined]
