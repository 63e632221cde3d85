"""How likely each of a few answers is: the probability of every way to spell it.

    Way ── weigh (the model's logits where the way ends) ──> probability settled on each choice, longer ways

"<A>" may come as one token or as "<" and "A>"; a policy that is constrained to the choices can take either way. Ways are weighed
as answers take them; those that they miss are asked for separately if they matter. Answers to the same prompt under the same policy
share what is known. Must not import torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detente.engines.grammar import Grammar, Node

NEGLIGIBLE = 1e-3  # a way of smaller probability is not followed


@dataclass(frozen=True)
class Way:
    """Tokens after which several choices are possible still, and the probability of these tokens."""

    tokens: tuple[int, ...]
    node: Node
    probability: float


class Choices:
    """Collects the probability of each choice."""

    def __init__(self, grammar: Grammar, texts: tuple[str, ...]) -> None:
        self._texts = texts
        self._settled = np.zeros(len(texts))
        self._open: dict[tuple[int, ...], Way] = {}
        if texts:
            self._add(Way((), grammar.start("|".join(map(re.escape, texts))), 1.0))

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Of each choice, given that it is one of them; empty where nothing is known."""
        total = self._settled.sum()
        return tuple((self._settled / total).tolist()) if total > 0 else ()

    def at(self, answer: tuple[int, ...]) -> Way | None:
        """The way that the answer has come, if it is open."""
        return self._open.get(answer)

    def missed(self, answer: tuple[int, ...]) -> list[Way]:
        """The ways worth following that an answer beginning like this does not take."""
        length = len(answer)
        return [w for w in self._open.values() if w.probability > NEGLIGIBLE and w.tokens[:length] != answer]

    def next_tokens(self, way: Way) -> NDArray[np.int64]:
        """(n,) the tokens that continue the way."""
        return way.node.deciding(self._texts)[0]

    def weigh(self, way: Way, logits: NDArray[np.float64]) -> bool:
        """Replace an open way by what its next tokens lead to, given their logits (n,); False where these are not finite."""
        largest = logits.max()
        if not np.isfinite(largest):  # of NaN among them it is NaN
            return False
        tokens, settled = way.node.deciding(self._texts)
        weights = np.exp(logits - largest)
        probabilities = way.probability * weights / weights.sum()
        del self._open[way.tokens]
        decided = settled >= 0
        np.add.at(self._settled, settled[decided], probabilities[decided])
        for token, probability in zip(tokens[~decided].tolist(), probabilities[~decided].tolist(), strict=True):
            self._add(Way((*way.tokens, token), way.node.next(token), probability))
        return True

    def _add(self, way: Way) -> None:
        """Open a way, at the end of what has to follow."""
        tokens, settled = way.node.deciding(self._texts)
        if len(tokens) == 1 and settled[0] < 0:
            self._add(Way((*way.tokens, int(tokens[0])), way.node.next(int(tokens[0])), way.probability))
        else:
            self._open[way.tokens] = way
