"""Learners in games of their own that exchange gradients (after Wu and Zeng, 2022: DDAL).

    python experiments/ddal.py                    # three learners, and the same three alone
    python experiments/ddal.py --delay 3          # of which the last is three times as slow

    games ── gradients ──> the mailboxes of all, with the experience and relevance of their sender
                           own mailbox ── now and then ──> m pieces ── 1/2 (sum T g / sum T + sum R g / sum R) ──> a step

Every learner has a run of its own, in the folder --out; all start from the same adapter, for gradients of adapters that start apart
do not add up. A learner is alone until it has made THRESHOLD updates. From then on it sends the gradients of every update, with the
number of its updates as experience T and with its relevance R, to every mailbox, its own among them; in every EVERY-th update it
takes the m oldest pieces from its mailbox and steps along their mean. Nobody waits, and nobody is said to get faster by it.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial, reduce
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from detente import config
from detente.cli.terminal import explain, hush
from detente.config import Config
from detente.errors import UserError
from detente.learning import loop, vectors
from detente.learning.learner import Alone, Learner
from detente.learning.resuming import resume, save
from detente.learning.run_folder import RunFolder, opened
from detente.learning.session import Session, open_session
from detente.learning.state import RunState
from detente.learning.watchers import Watcher
from detente.learning.work import Part, Work

OPTIONS = "seats=[main,always_defect] algorithm=reinforce episodes=32 group_size=32 opponents.kept=0 evaluation.every=0"


@dataclass(frozen=True)
class Piece:
    """Gradients (P,) that were sent: by which learner, after how many updates of its own, and how much it counts for others."""

    sender: int
    experience: float
    relevance: float
    gradients: Tensor


def weights(pieces: Sequence[Piece]) -> list[float]:
    """What each piece counts in their mean: 1/2 (T / sum T + R / sum R); together 1."""
    experience, relevance = sum(piece.experience for piece in pieces), sum(piece.relevance for piece in pieces)
    return [(piece.experience / experience + piece.relevance / relevance) / 2 for piece in pieces]


def mixed(pieces: Sequence[Piece]) -> Tensor:
    """(P,) the weighted mean of the pieces' gradients."""
    return reduce(torch.add, (weight * piece.gradients for weight, piece in zip(weights(pieces), pieces, strict=True)))


@dataclass(frozen=True)
class Rules:
    """Alone for ``threshold`` updates, then ``pieces`` are taken in every ``every``-th; nobody shares where that is 0."""

    threshold: int
    every: int
    pieces: int


@dataclass
class Exchange(Alone):
    """What becomes of the gradients of learner ``number``: see above. ``taken``: the pieces of its last exchange."""

    number: int
    relevance: float
    rules: Rules
    boxes: Sequence[deque[Piece]]
    taken: list[Piece] = field(default_factory=list)

    def gradients(self, learner: Learner, work: Work, first: Sequence[Part] | None) -> Sequence[Part]:
        """Compute them, send them, and replace them where an exchange is due."""
        parts = super().gradients(learner, work, first)
        shared = learner.version + 1 - self.rules.threshold  # with this one
        if self.rules.pieces and shared > 0:
            piece = Piece(self.number, learner.version + 1, self.relevance, vectors.gradients(learner))
            for box in self.boxes:
                box.append(piece)
            if shared % self.rules.every == 0:
                box = self.boxes[self.number]
                self.taken = [box.popleft() for _ in range(min(self.rules.pieces, len(box)))]
                vectors.take_gradients(learner, mixed(self.taken))
        return parts


@dataclass
class Peer:
    """A learner in its own run, its state, and the mean reward of a round in each iteration."""

    session: Session
    folder: RunFolder
    state: RunState
    exchange: Exchange
    rewards: list[float] = field(default_factory=list)

    def advance(self) -> None:
        """One iteration, written to the folder."""
        self.state, metrics, episodes = loop.advance(self.session, self.state, self.folder, Watcher())
        last = self.state.iteration == self.session.config.iterations
        save(self.session, self.folder, self.state, metrics, episodes, last=last, stopped=False)
        self.rewards.append(metrics["reward/main"])


def trained(options: Sequence[Config], relevance: Sequence[float], rules: Rules, delay: int, out: Path) -> list[Peer]:
    """Train a learner with each of these options; the last one has a turn only in every ``delay``-th round of turns."""
    boxes: list[deque[Piece]] = [deque() for _ in options]
    peers: list[Peer] = []
    with ExitStack() as stack:
        for number, own in enumerate(options):
            exchange = Exchange(number, relevance[number], rules, boxes)
            folder = stack.enter_context(opened(out / str(number), own))
            session = stack.enter_context(closing(open_session(own, exchange)))
            peers.append(Peer(session, folder, resume(session, folder), exchange))
            vectors.take_weights(session.learners["main"], vectors.weights(peers[0].session.learners["main"]))
            session.publish()
        for turn in range(1, options[0].iterations + 1):
            for peer in [*peers[:-1], *(peers[-1:] if turn % delay == 0 else [])]:
                peer.advance()
            means = ", ".join(f"{peer.rewards[-1]:.2f}" if peer.rewards else "-" for peer in peers)
            print(f"{out.name}, update {turn} of {options[0].iterations}: {means}", file=sys.stderr)
    return peers


def comparison(alone: Sequence[Peer], sharing: Sequence[Peer]) -> str:
    """The table of all learners, and what was in the mailboxes at the last exchange."""
    lines = [f"{'learner':<8}{'updates':>8}{'first':>9}{'alone, last 5':>16}{'sharing, last 5':>18}   points a round"]
    for number, (one, other) in enumerate(zip(alone, sharing, strict=True)):
        last = (fmean(peer.rewards[-5:]) for peer in (one, other))
        lines.append(f"{number:<8}{len(one.rewards):>8}{one.rewards[0]:>9.2f}{next(last):>16.2f}{next(last):>18.2f}")
    for peer in sharing:
        pieces = peer.exchange.taken
        words = ", ".join(f"{w:.3f} of {p.sender} (T {p.experience:g})" for w, p in zip(weights(pieces), pieces, strict=True))
        lines.append(f"learner {peer.exchange.number} took last: {words or 'nothing'}")
    return "\n".join(lines)


def checked(given: argparse.Namespace) -> list[float]:
    """The relevance of every learner; UserError for numbers that do not fit."""
    for name, minimum in {"learners": 2, "updates": 1, "threshold": 0, "every": 1, "m": 0, "delay": 1}.items():
        if (number := getattr(given, name)) is not None and number < minimum:
            raise UserError(f"--{name} is {minimum} or more, not {number}.")
    if given.delay > given.updates:
        raise UserError(f"--delay is at most --updates, {given.updates}, or the last learner has no turn; not {given.delay}.")
    relevance: list[float] = given.relevance or [1.0] * given.learners
    if len(relevance) != given.learners or not all(0 < number < 1e30 for number in relevance):
        raise UserError(f"--relevance is a number above 0 for each of the {given.learners} learners.")
    if given.out.exists() and any(given.out.iterdir()):
        raise UserError(f"The folder {given.out} is not empty; give --out another one.")
    return relevance


def main(words: Sequence[str] | None = None) -> int:
    """Train the learners alone and sharing, and print the comparison."""
    parser = argparse.ArgumentParser(description="Learners that exchange gradients, beside the same learners alone.")
    number = partial(parser.add_argument, type=int)
    number("--learners", default=3, help="how many (default: 3)")
    number("--updates", default=15, help="of each learner but a slow one (default: 15)")
    number("--threshold", default=3, help="updates that a learner makes alone first (default: 3)")
    number("--every", default=1, help="pieces are taken in every so many updates (default: 1)")
    number("--m", help="pieces that are taken at a time (default: as many as come; 0: nobody shares)")
    number("--delay", default=1, help="the last learner has a turn every so many turns (default: 1)")
    number("--seed", default=0, help="of the first learner, and one more for each (default: 0)")
    parser.add_argument("--relevance", type=float, nargs="+", metavar="R", help="of each learner's gradients (default: all 1)")
    parser.add_argument("--out", type=Path, default=Path("runs/ddal"), help="the folder of the runs (default: runs/ddal)")
    given = parser.parse_args(words)
    hush()
    try:
        relevance = checked(given)
        turns = [given.updates] * (given.learners - 1) + [given.updates // given.delay]
        own = [f"{OPTIONS} iterations={count} seed={given.seed + number}".split() for number, count in enumerate(turns)]
        options = [config.load("ipd", words) for words in own]
        rules = Rules(given.threshold, given.every, given.learners * given.every if given.m is None else given.m)
        alone = trained(options, relevance, Rules(0, 1, 0), given.delay, given.out / "alone")
        sharing = trained(options, relevance, rules, given.delay, given.out / "sharing")
        print(comparison(alone, sharing))
    except (UserError, OSError, KeyboardInterrupt) as error:
        sentence, status = explain(error)
        print(sentence, file=sys.stderr)
        return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
