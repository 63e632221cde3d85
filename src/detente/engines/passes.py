"""One pass of the model over the new tokens of many chats, in one row without padding.

    segments ──> equal ones once, sorted by policy ──> [policy 1: new tokens ... | policy 2: new tokens ...] ──> hidden states

Chats of a policy that hold the same tokens and continue with the same ones are computed once; the keys and values are written
into the pool rows of all of them, so that each row stays complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from detente.backbone import attention, head, lora
from detente.backbone.grouped import Part
from detente.engines.adapters import Adapters
from detente.engines.cache import Pool
from detente.engines.chats import Chat, Chats
from detente.engines.layout import Placement, PoolPlan
from detente.errors import UserError


@dataclass(frozen=True, slots=True)
class Segment:
    """New tokens of a chat, which come after its first ``seen``.

    A ``probe`` leaves no trace in the chat; other segments come after all that it holds.
    """

    chat: Chat
    tokens: Sequence[int]
    seen: int
    probe: bool = False


@dataclass(frozen=True)
class PassOutput:
    """The last hidden states of U different segments, sorted by policy."""

    hidden: Tensor  # (U, D)
    adapters: Sequence[str | None]  # (U,)
    rows: Sequence[int]  # of each segment that was asked for its row in ``hidden``


class Passes:
    """Runs the model that ``adapters`` hold on rows of the pool."""

    def __init__(self, adapters: Adapters, pool: Pool, chats: Chats, longest: int, limit: str) -> None:
        self.adapters, self.pool, self.chats, self.longest, self.limit = adapters, pool, chats, longest, limit

    def run(self, segments: Sequence[Segment]) -> PassOutput:
        """Compute the new tokens and note them in their chats; UserError if one outgrows the model's context."""
        self._check_length(segments)
        names = {policy: self.adapters.name(policy) for policy in {segment.chat.policy for segment in segments}}
        groups: dict[tuple[object, ...], list[int]] = {}
        for i in sorted(range(len(segments)), key=lambda i: _order(segments[i].chat)):
            segment = segments[i]
            key = (i,) if segment.probe else (segment.chat.history, *segment.tokens)
            groups.setdefault(key, []).append(i)
        equal = [[segments[i] for i in group] for group in groups.values()]
        placements = _placements(equal)
        self.pool.reserve(self.pool.rows, max(placement.slot + placement.length for placement in placements))
        adapters = [names[group[0].chat.policy] for group in equal]
        hidden = self._hidden([group[0] for group in equal], placements, adapters)
        rows = [0] * len(segments)
        for row, group in enumerate(groups.values()):
            for i in group:
                rows[i] = row
                if not segments[i].probe:
                    self.chats.extend(segments[i].chat, segments[i].tokens)
        return PassOutput(hidden, adapters, rows)

    def logits(self, output: PassOutput, tokens: Tensor | None = None) -> Tensor:
        """(U, V) logits of the next token as float, or (U, n) those of some tokens."""
        with lora.mixed(_parts(output.adapters, [1] * len(output.adapters))):
            return head.logits(self.adapters.model, output.hidden, tokens).float()

    def _hidden(self, segments: Sequence[Segment], placements: Sequence[Placement], adapters: Sequence[str | None]) -> Tensor:
        """(U, D) the last hidden state of each segment."""
        model = self.adapters.model
        if model.training:
            model.eval()
        base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        device = base.get_input_embeddings().weight.device
        ids = torch.tensor([token for segment in segments for token in segment.tokens], device=device)
        counts = [placement.length for placement in placements]
        positions = torch.tensor([segment.seen + i for segment in segments for i in range(len(segment.tokens))], device=device)
        plan = PoolPlan(self.pool, placements, device)
        with lora.mixed(_parts(adapters, counts)):
            hidden: Tensor = base.get_decoder()(input_ids=ids[None], **attention.arguments(plan, positions)).last_hidden_state[0]
        if len(hidden) == len(placements):
            return hidden
        return hidden[torch.tensor(list(accumulate(counts)), device=device) - 1]

    def _check_length(self, segments: Sequence[Segment]) -> None:
        longest = max(segment.seen + len(segment.tokens) for segment in segments)
        if longest > self.longest:
            raise UserError(
                f"A chat has grown to {longest} tokens, more than the {self.longest} of the model's {self.limit}; "
                "play fewer rounds or allow fewer tokens per answer (answer.max_tokens)."
            )


def _order(chat: Chat) -> tuple[str, str, int, int]:
    """The sorting key of a chat's tokens in a pass. Rounding depends on the order, so the order must not depend on earlier play."""
    policy = chat.policy
    return policy.kind, policy.name, policy.version, chat.row


def _placements(equal: Sequence[Sequence[Segment]]) -> list[Placement]:
    """Where the new tokens of each group of equal segments go; probes lie behind all that their chat holds."""
    ends: dict[int, int] = {}
    for group in equal:
        for segment in group:
            if not segment.probe:
                ends[segment.chat.row] = segment.seen + len(segment.tokens)
    placements = []
    for first, *others in equal:
        row, length = first.chat.row, len(first.tokens)
        slot = ends.get(row, len(first.chat.tokens)) if first.probe else first.seen
        if first.probe:
            ends[row] = slot + length
        placements.append(Placement(row, first.seen, slot, length, tuple(other.chat.row for other in others)))
    return placements


def _parts(adapters: Sequence[str | None], counts: Sequence[int]) -> list[Part]:
    """The slices of the packed tokens that belong to each adapter."""
    ends = accumulate(counts, initial=0)
    spans = [(name, start, stop) for name, (start, stop) in zip(adapters, pairwise(ends), strict=True)]
    joined = [(name, list(group)) for name, group in groupby(spans, key=lambda span: span[0])]
    return [(name, group[0][1], group[-1][2]) for name, group in joined]
