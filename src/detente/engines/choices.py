"""How likely each of a few choices is: the sum of the probabilities of all token sequences that spell it.

    Candidate ── weigh (the model's logits after it) ──> probability of each choice, longer candidates

"<A>" may come as one token or as "<" and "A>", and a policy that is constrained to the choices can give either. Candidates are
weighed as answers reach them; probable ones that no answer reaches are computed on their own. Answers to the same prompt under the
same policy share one ``Choices``. Must not import torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detente.engines.grammar import Grammar, GrammarState

NEGLIGIBLE = 1e-3  # a candidate of smaller probability is not followed


@dataclass(frozen=True)
class Candidate:
    """The first tokens of an answer, after which several choices are still possible; and their probability."""

    tokens: tuple[int, ...]
    state: GrammarState
    probability: float


class Choices:
    """Collects the probability of each choice."""

    def __init__(self, grammar: Grammar, texts: tuple[str, ...]) -> None:
        self._texts = texts
        self._settled = np.zeros(len(texts))
        self._open: dict[tuple[int, ...], Candidate] = {}
        if texts:
            self._add(Candidate((), grammar.start("|".join(map(re.escape, texts))), 1.0))

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Of each choice, summing to 1; empty where nothing is known."""
        total = self._settled.sum()
        return tuple((self._settled / total).tolist()) if total > 0 else ()

    def at(self, answer: tuple[int, ...]) -> Candidate | None:
        """The candidate of exactly these tokens, if its logits are still unknown."""
        return self._open.get(answer)

    def missed(self, answer: tuple[int, ...]) -> list[Candidate]:
        """The probable candidates that do not begin with these tokens, so that no continuation of the answer reaches them."""
        probable = (candidate for candidate in self._open.values() if candidate.probability > NEGLIGIBLE)
        return [candidate for candidate in probable if candidate.tokens[: len(answer)] != answer]

    def next_tokens(self, candidate: Candidate) -> NDArray[np.int64]:
        """(n,) the tokens that may follow a candidate."""
        return candidate.state.deciding(self._texts)[0]

    def weigh(self, candidate: Candidate, logits: NDArray[np.float64]) -> bool:
        """Replace a candidate by its continuations, given the logits (n,) of its next tokens; False where these are not finite."""
        largest = logits.max()
        if not np.isfinite(largest):  # of NaN among them it is NaN
            return False
        tokens, settled = candidate.state.deciding(self._texts)
        weights = np.exp(logits - largest)
        probabilities = candidate.probability * weights / weights.sum()
        del self._open[candidate.tokens]
        decided = settled >= 0
        np.add.at(self._settled, settled[decided], probabilities[decided])
        for token, probability in zip(tokens[~decided].tolist(), probabilities[~decided].tolist(), strict=True):
            self._add(Candidate((*candidate.tokens, token), candidate.state.next(token), probability))
        return True

    def _add(self, candidate: Candidate) -> None:
        """Add a candidate with the tokens that have to follow it."""
        tokens, settled = candidate.state.deciding(self._texts)
        if len(tokens) == 1 and settled[0] < 0:
            self._add(Candidate((*candidate.tokens, int(tokens[0])), candidate.state.next(int(tokens[0])), candidate.probability))
        else:
            self._open[candidate.tokens] = candidate
