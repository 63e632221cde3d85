"""From scores to tokens: draws by inverting the distribution function, and the scores of tokens that somebody wants to know.

    Draw (state, mask, temperature, uniform number) ──> token, log-probability        Look (state, tokens) ──> their logits

Where a mask allows few tokens only their scores are computed. What several chats share, states and masks, is computed once.
The device is asked once per step.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detente.engines.grammar import Mask

WIDE = 64  # tokens in a part of the vocabulary; a draw looks for the part, then inside it

Item = TypeVar("Item", bound=Hashable)


class Draw(NamedTuple):
    """A token from softmax(logits / temperature) over the tokens that the mask allows (None: all)."""

    state: int
    mask: Mask | None
    temperature: float
    uniform: float


class Look(NamedTuple):
    """The logits (n,) of these tokens."""

    state: int
    tokens: NDArray[np.int64]


class Sampler:
    """Draws tokens; ``logits(tokens or None)`` gives the scores (U, n) or (U, V) of all states."""

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self._vocab_size, self._device = vocab_size, device
        self._masks: WeakKeyDictionary[Mask, Tensor] = WeakKeyDictionary()

    def __call__(
        self, logits: Callable[[Tensor | None], Tensor], draws: Sequence[Draw], looks: Sequence[Look]
    ) -> tuple[list[tuple[int, float]], list[NDArray[np.float64]]]:
        """The token and log-probability of each draw, and the logits of each look.

        The log-probability is NaN where the scores of a state are not finite; the token says nothing then.
        """
        narrow = [i for i, draw in enumerate(draws) if draw.mask is not None and draw.mask.tokens is not None]
        wide = sorted(set(range(len(draws))) - set(narrow))
        found: list[tuple[int, float]] = [(0, 0.0)] * len(draws)
        waiting = []
        if wide:
            waiting.append(self._wide(logits(None), [draws[i] for i in wide]))
        columns = _union([*(_few(draws[i].mask) for i in narrow), *(look.tokens for look in looks)])
        if len(columns):
            waiting.append(logits(torch.from_numpy(columns).to(self._device)).double())
        told = torch.cat([tensor.flatten() for tensor in waiting]).cpu().numpy()
        for i, token, logprob in zip(wide, *told[: 2 * len(wide)].reshape(2, -1).tolist(), strict=True):
            found[i] = (int(token), logprob)
        scores = told[2 * len(wide) :].reshape(-1, max(1, len(columns)))
        for i, drawn in zip(narrow, _narrow(scores, columns, [draws[i] for i in narrow]), strict=True):
            found[i] = drawn
        return found, [scores[look.state, np.searchsorted(columns, look.tokens)] for look in looks]

    def _wide(self, logits: Tensor, draws: Sequence[Draw]) -> Tensor:
        """(2, J) tokens and log-probabilities, from scores (U, V) of all tokens."""
        rows, of = _distinct([(draw.state, draw.mask, draw.temperature) for draw in draws])
        temperature = torch.tensor([row[2] for row in rows], device=self._device)
        scores = logits[torch.tensor([row[0] for row in rows], device=self._device)].div_(temperature[:, None])
        for mask in {row[1] for row in rows} - {None}:
            mine = [i for i, row in enumerate(rows) if row[1] is mask]
            forbidden = self._forbidden(mask)  # type: ignore[arg-type]
            if len(mine) == len(rows):
                scores.masked_fill_(forbidden, float("-inf"))
            else:
                at = torch.tensor(mine, device=self._device)
                scores[at] = scores[at].masked_fill_(forbidden, float("-inf"))
        chosen = torch.tensor(of, device=self._device)
        uniform = torch.tensor([draw.uniform for draw in draws], dtype=torch.float64, device=self._device)
        probabilities = scores.softmax(-1)
        tokens = _invert(probabilities, chosen, uniform)
        return torch.stack([tokens.double(), probabilities[chosen, tokens].log().double()])

    def _forbidden(self, mask: Mask) -> Tensor:
        """(V,)"""
        if mask not in self._masks:
            self._masks[mask] = torch.from_numpy(~mask.allowed()).to(self._device)
        return self._masks[mask]


def _invert(probabilities: Tensor, rows: Tensor, uniform: Tensor) -> Tensor:
    """(J,) where the distribution function of each row (U, V) exceeds a uniform number: first the part, then the token."""
    padding = -probabilities.shape[1] % WIDE
    parts = torch.nn.functional.pad(probabilities, (0, padding)).view(len(probabilities), -1, WIDE)
    upto = parts.sum(-1, dtype=torch.float64).cumsum(-1)[rows]  # (J, V / WIDE)
    target = uniform * upto[:, -1]
    part = torch.minimum(_first_above(upto, target), _first_above(upto, upto[:, -1], reached=True))
    part = part.clamp(max=parts.shape[1] - 1)  # NaN is above all
    inside = parts[rows, part].double().cumsum(-1)  # (J, WIDE)
    before = torch.where(part > 0, upto.gather(-1, (part - 1).clamp(min=0)[:, None])[:, 0], 0.0)
    within = torch.minimum(_first_above(inside, target - before), _first_above(inside, inside[:, -1], reached=True))
    return (part * WIDE + within).clamp(max=probabilities.shape[1] - 1)


def _first_above(ascending: Tensor, target: Tensor, *, reached: bool = False) -> Tensor:
    """(J,) index in each row (J, n) of the first number above a target, or of the first that reaches it."""
    return torch.searchsorted(ascending, target[:, None].contiguous(), right=not reached)[:, 0]


def _narrow(scores: NDArray[np.float64], columns: NDArray[np.int64], draws: Sequence[Draw]) -> list[tuple[int, float]]:
    """Tokens and log-probabilities, from scores (U, n) of the tokens ``columns``."""
    rows, of = _distinct([(draw.state, draw.mask, draw.temperature) for draw in draws])
    tables = []
    with np.errstate(invalid="ignore", divide="ignore"):  # infinite minus infinite is NaN, which the caller looks for
        for state, mask, temperature in rows:
            tokens = _few(mask)
            logits = scores[state, np.searchsorted(columns, tokens)] / temperature
            weights = np.exp(logits - logits.max())
            upto = weights.cumsum()
            tables.append((tokens, upto, np.log(weights / upto[-1])))
    found = []
    for draw, row in zip(draws, of, strict=True):
        tokens, upto, logprobs = tables[row]
        at = min(int(np.searchsorted(upto, draw.uniform * upto[-1], side="right")), int(np.searchsorted(upto, upto[-1])))
        found.append((int(tokens[at]), float(logprobs[at])))
    return found


def _few(mask: Mask | None) -> NDArray[np.int64]:
    """The tokens that a mask of few allows."""
    if mask is None or mask.tokens is None:
        raise ValueError("the mask allows more than a few tokens")
    return mask.tokens


def _distinct(items: Sequence[Item]) -> tuple[list[Item], list[int]]:
    """The different items, and which of them each is."""
    numbers: dict[Item, int] = {}
    of = [numbers.setdefault(item, len(numbers)) for item in items]
    return list(numbers), of


def _union(sets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """All of them, each once, in ascending order."""
    different = {id(tokens): tokens for tokens in sets}
    return np.unique(np.concatenate(list(different.values()))) if different else np.zeros(0, dtype=np.int64)
