"""How likely each of a few choices is: the sum of the probabilities of all token sequences that spell it.

    Candidate ── weigh (the model's logits after it) ──> probability of each choice, longer candidates

"<A>" may come as one token or as "<" and "A>", and a policy that is constrained to the choices can give either. Candidates are
weighed as answers reach them; probable ones that no answer reaches are computed on their own. Answers to the same prompt under the
same policy share one ``Choices``. Of free answers candidates are followed until they end, and what is no choice keeps its share of
the probability. Must not import torch.
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
    """Collects the probability of each choice: among all, or with ``longest`` of a free answer of so many tokens at most."""

    def __init__(self, grammar: Grammar, texts: tuple[str, ...], longest: int | None = None) -> None:
        self._texts, self._longest = texts, longest
        self._settled = np.zeros(len(texts))
        self._open: dict[tuple[int, ...], Candidate] = {}
        if texts:
            pattern = "|".join(map(re.escape, texts))
            self._add(Candidate((), grammar.start(pattern if longest is None else rf"\s*({pattern})\s*"), 1.0))

    @property
    def free(self) -> bool:
        """Whether answers may also be none of the choices."""
        return self._longest is not None

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Of each choice, summing to 1, or of free answers to the probability of a valid one; empty where nothing is known."""
        if self.free:
            return tuple(self._settled.tolist())
        total = self._settled.sum()
        return tuple((self._settled / total).tolist()) if total > 0 else ()

    def at(self, answer: tuple[int, ...]) -> Candidate | None:
        """The candidate of exactly these tokens, if its logits are still unknown."""
        return self._open.get(answer)

    def missed(self, answer: tuple[int, ...], *, finished: bool = False) -> list[Candidate]:
        """The probable candidates that an answer does not reach: those that do not begin with its tokens, and of a free one that is
        ``finished`` all."""
        probable = (candidate for candidate in self._open.values() if candidate.probability > NEGLIGIBLE)
        return [candidate for candidate in probable if (finished and self.free) or candidate.tokens[: len(answer)] != answer]

    def next_tokens(self, candidate: Candidate) -> NDArray[np.int64]:
        """(n,) the tokens that may follow a candidate."""
        return self._deciding(candidate)[0]

    def weigh(self, candidate: Candidate, logits: NDArray[np.float64], norm: float | None = None) -> bool:
        """Replace a candidate by its continuations, given the logits (n,) of its next tokens; False where these are not finite.

        ``norm``: of free answers the logarithm of the sum of exp(logit) over all tokens.
        """
        largest = logits.max() if norm is None else norm
        if not np.isfinite(largest):  # of NaN among them it is NaN
            return False
        tokens, settled = self._deciding(candidate)
        weights = np.exp(logits - largest)
        probabilities = candidate.probability * weights / (weights.sum() if norm is None else 1.0)
        del self._open[candidate.tokens]
        decided = settled >= 0
        np.add.at(self._settled, settled[decided], probabilities[decided])
        for token, probability in zip(tokens[~decided].tolist(), probabilities[~decided].tolist(), strict=True):
            self._add(Candidate((*candidate.tokens, token), candidate.state.next(token), probability))
        return True

    def _add(self, candidate: Candidate) -> None:
        """Add a candidate with the tokens that have to follow it."""
        tokens, settled = self._deciding(candidate)
        if self.free:
            self._keep(candidate)
        elif len(tokens) == 1 and settled[0] < 0:
            self._add(Candidate((*candidate.tokens, int(tokens[0])), candidate.state.next(int(tokens[0])), candidate.probability))
        else:
            self._open[candidate.tokens] = candidate

    def _keep(self, candidate: Candidate) -> None:
        """Keep the first tokens of a free answer, unless it ends here because it can have no more."""
        if len(candidate.tokens) < (self._longest or 0):
            self._open[candidate.tokens] = candidate
        elif (text := candidate.state.text.decode(errors="replace").strip()) in self._texts:
            self._settled[self._texts.index(text)] += candidate.probability

    def _deciding(self, candidate: Candidate) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The next tokens (n,), and for each the index of the choice that is certain with it, -1 where none is."""
        return candidate.state.deciding(self._texts, whole=self.free)
