"""From logits to tokens: draws by inverting the distribution function; and the logits of wanted tokens.

    Draw (row, mask, temperature, uniform number) ──> token, log-probability        (row, tokens) ──> their logits
    Norm (row, mask, temperature) ──> log of the sum over all allowed tokens

A row is a hidden state of a pass. Where a mask allows few tokens only their logits are computed. Rows and masks that several draws
share are computed once. Results are copied from the device once per step.
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
    """A token to draw from softmax(logits / temperature) over the tokens that the mask allows (None: all)."""

    row: int
    mask: Mask | None
    temperature: float
    uniform: float


class Norm(NamedTuple):
    """The logarithm of the sum of exp(logits / temperature) over the tokens that the mask allows (None: all)."""

    row: int
    mask: Mask | None
    temperature: float


class Sampler:
    """Draws tokens."""

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self._vocab_size, self._device = vocab_size, device
        self._masks: WeakKeyDictionary[Mask, Tensor] = WeakKeyDictionary()

    def __call__(
        self, logits: Callable[[Tensor | None], Tensor], draws: Sequence[Draw], wanted: Sequence[tuple[int, NDArray[np.int64]]]
    ) -> tuple[list[tuple[int, float]], list[NDArray[np.float64]]]:
        """The token and log-probability of each draw, and the logits (n,) of each wanted row and its tokens (n,).

        ``logits(tokens)`` gives the logits (U, n) of all rows, ``logits(None)`` (U, V). A log-probability is NaN where the logits
        of a row are not finite; the token means nothing then.
        """
        narrow = [i for i, draw in enumerate(draws) if draw.mask is not None and draw.mask.tokens is not None]
        wide = sorted(set(range(len(draws))) - set(narrow))
        drawn: list[tuple[int, float]] = [(0, 0.0)] * len(draws)
        computed = []
        if wide:
            computed.append(self._wide(logits(None), [draws[i] for i in wide]))
        columns = _union([*(_few(draws[i].mask) for i in narrow), *(tokens for _, tokens in wanted)])
        if len(columns):
            computed.append(logits(torch.from_numpy(columns).to(self._device)).double())
        copied = torch.cat([tensor.flatten() for tensor in computed]).cpu().numpy()
        for i, token, logprob in zip(wide, *copied[: 2 * len(wide)].reshape(2, -1).tolist(), strict=True):
            drawn[i] = (int(token), logprob)
        scores = copied[2 * len(wide) :].reshape(-1, max(1, len(columns)))
        for i, result in zip(narrow, _narrow(scores, columns, [draws[i] for i in narrow]), strict=True):
            drawn[i] = result
        return drawn, [scores[row, np.searchsorted(columns, tokens)] for row, tokens in wanted]

    def norms(self, logits: Callable[[Tensor | None], Tensor], norms: Sequence[Norm]) -> list[float]:
        """Each norm; ``logits`` as for a call."""
        if not norms:
            return []
        rows = logits(None)[torch.tensor([norm.row for norm in norms], device=self._device)].double()
        rows = rows / torch.tensor([norm.temperature for norm in norms], device=self._device)[:, None]
        for i, norm in enumerate(norms):
            if norm.mask is not None:
                rows[i].masked_fill_(self._forbidden(norm.mask), float("-inf"))
        return [float(norm) for norm in rows.logsumexp(-1).tolist()]

    def _wide(self, logits: Tensor, draws: Sequence[Draw]) -> Tensor:
        """(2, J) tokens and log-probabilities, from logits (U, V) of all tokens."""
        distributions, index = _distinct([(draw.row, draw.mask, draw.temperature) for draw in draws])
        temperature = torch.tensor([t for _, _, t in distributions], device=self._device)
        scores = logits[torch.tensor([row for row, _, _ in distributions], device=self._device)].div_(temperature[:, None])
        for mask in {mask for _, mask, _ in distributions if mask is not None}:
            masked = [i for i, distribution in enumerate(distributions) if distribution[1] is mask]
            forbidden = self._forbidden(mask)
            if len(masked) == len(distributions):
                scores.masked_fill_(forbidden, float("-inf"))
            else:
                at = torch.tensor(masked, device=self._device)
                scores[at] = scores[at].masked_fill_(forbidden, float("-inf"))
        chosen = torch.tensor(index, device=self._device)
        uniform = torch.tensor([draw.uniform for draw in draws], dtype=torch.float64, device=self._device)
        probabilities = scores.softmax(-1)
        tokens = _invert(probabilities, chosen, uniform)
        return torch.stack([tokens.double(), probabilities[chosen, tokens].log().double()])

    def _forbidden(self, mask: Mask) -> Tensor:
        """(V,) where the mask allows no token."""
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
    """Tokens and log-probabilities, from logits (U, n) of the tokens ``columns``."""
    distinct, index = _distinct([(draw.row, draw.mask, draw.temperature) for draw in draws])
    distributions = []
    with np.errstate(invalid="ignore", divide="ignore"):  # infinite minus infinite is NaN, which the caller looks for
        for row, mask, temperature in distinct:
            tokens = _few(mask)
            logits = scores[row, np.searchsorted(columns, tokens)] / temperature
            weights = np.exp(logits - logits.max())
            upto = weights.cumsum()
            distributions.append((tokens, upto, np.log(weights / upto[-1])))
    drawn = []
    for draw, number in zip(draws, index, strict=True):
        tokens, upto, logprobs = distributions[number]
        at = min(int(np.searchsorted(upto, draw.uniform * upto[-1], side="right")), int(np.searchsorted(upto, upto[-1])))
        drawn.append((int(tokens[at]), float(logprobs[at])))
    return drawn


def _few(mask: Mask | None) -> NDArray[np.int64]:
    """The tokens that a mask of few allows."""
    if mask is None or mask.tokens is None:
        raise ValueError("the mask allows more than a few tokens")
    return mask.tokens


def _distinct(items: Sequence[Item]) -> tuple[list[Item], list[int]]:
    """The different items, and the index among these of every item."""
    numbers: dict[Item, int] = {}
    index = [numbers.setdefault(item, len(numbers)) for item in items]
    return list(numbers), index


def _union(sets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The union of sets of tokens, in ascending order."""
    different = {id(tokens): tokens for tokens in sets}
    return np.unique(np.concatenate(list(different.values()))) if different else np.zeros(0, dtype=np.int64)
