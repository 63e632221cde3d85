"""The donor game: what one gives away is worth more to a stranger, and strangers know what one gave (Vallinder and Hughes, 2024).

    round ── pairs ──> donors, told what both have and the trace ──> shares, at once ──> resources ──> next round, other roles

Two groups take turns in giving, and each donor of a group meets another one of the other group every time, so that in as many
rounds as there are players no ordered pair meets twice, and nobody is met at once by whom it gave to. The trace of a recipient is
what it did as a donor, what the one that it met had done in the round before, and so on.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from detente.errors import UserError, as_typed
from detente.games.amounts import Amount, amount
from detente.games.base import Observation, Step
from detente.games.parameters import added, as_json, build, check_count, check_switch
from detente.games.splitting.words import number
from detente.games.wordings import told, wordings

(WORDING,) = wordings("donor", "donor")
EVERY_LEVEL = tuple(range(101))


@dataclass(frozen=True, slots=True)
class Donation:
    """What a donor did: the percentage of its resources, negative where it punishes, and what the recipient gained or lost."""

    donor: int
    recipient: int
    percentage: int
    received: float


@dataclass(frozen=True, slots=True)
class DonorState:
    """``groups``: who gives in even rounds, and who in odd ones. ``past``: [round][pair]."""

    groups: tuple[tuple[int, ...], tuple[int, ...]]
    resources: tuple[float, ...]
    past: tuple[tuple[Donation, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class DonorView:
    """What a script sees. ``other`` is what the recipient has, None for who waits; ``trace`` are percentages, latest first."""

    player: int
    round: int
    own: float
    other: float | None
    trace: tuple[int, ...]
    levels: tuple[int, ...]
    punishment: bool

    items: ClassVar[tuple[str, ...]] = ("percent",)  # what the number of a gift counts

    def gift(self, share: float) -> str:
        """The answer that gives this share in [0, 1] away, or the level next to it."""
        return _gift(self.levels).form(min(self.levels, key=lambda level: abs(level - 100 * share)))

    def punish(self, share: float) -> str:
        """The answer that punishes with this share in (0, 1], or the level next to it."""
        return _punish(self.levels).form(min(self.levels[1:], key=lambda level: abs(level - 100 * share)))


@dataclass(frozen=True, kw_only=True)
class Donor:
    """An even number of ``players`` with ``endowment`` units each; what is given is worth ``multiplier`` times as much.

    ``trace``: how many donations back a donor is told of. ``punishment``: whether it may also pay x so that the other loses
    ``multiplier`` x. ``levels``: the percentages that can be named, all whole ones where none are listed. ``swapped``: the group
    that would give second gives first. ``named``: whether the rules list the ``levels``.
    """

    name: str = "donor"
    players: int = 12
    rounds: int = 12
    endowment: int = 10
    multiplier: float = 2.0
    trace: int = 3
    punishment: bool = False
    levels: tuple[int, ...] = ()
    swapped: bool = False
    named: bool = added(False)

    family: ClassVar[str] = "detente.games.donor:FAMILY"
    symmetric: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("players", self.players, 2, 100)
        check_count("rounds", self.rounds, 1, 100)
        check_count("endowment", self.endowment, 1, 1000)
        check_count("trace", self.trace, 0, 20)
        check_switch("punishment", self.punishment)
        check_switch("swapped", self.swapped)
        check_switch("named", self.named)
        if self.players % 2:
            raise UserError(f"The donor game needs an even number of players, not {self.players}.")
        if type(self.multiplier) not in (int, float) or not 0 <= self.multiplier <= 100:
            raise UserError(f"The option multiplier is a number from 0 to 100, not {as_typed(self.multiplier)}.")
        object.__setattr__(self, "levels", tuple(self.levels) if isinstance(self.levels, list) else self.levels)
        whole = isinstance(self.levels, tuple) and all(type(level) is int and 0 <= level <= 100 for level in self.levels)
        if not whole or (self.levels and (self.levels[0] != 0 or len(self.levels) < 2)) or sorted({*self.levels}) != [*self.levels]:
            raise UserError(
                f"The levels are percentages in ascending order, at least two, the first of them 0, not {as_typed(self.levels)}."
            )

    @property
    def num_players(self) -> int:
        return self.players

    @cached_property
    def reward_bounds(self) -> tuple[float, float]:
        """From the most that donors and recipients can have in each round: those who kept all, and met only who gave all."""
        donors = recipients = float(self.endowment)
        low = high = 0.0
        for _ in range(self.rounds):
            gain = self.multiplier * donors
            high = max(high, gain)
            low = min(low, -donors, -min(recipients, gain) if self.punishment else 0.0)
            donors, recipients = recipients + gain, donors
        return low, high

    def parameters(self) -> dict[str, Any]:
        return as_json(self)

    @cached_property
    def percentages(self) -> tuple[int, ...]:
        """What can be named, in ascending order."""
        return self.levels or EVERY_LEVEL

    def reset(self, rng: random.Random) -> DonorState:
        order = rng.sample(range(self.players), self.players)
        half = self.players // 2
        groups = (tuple(order[:half]), tuple(order[half:]))
        return DonorState(groups[::-1] if self.swapped else groups, (float(self.endowment),) * self.players)

    def reseated(self, state: DonorState, seats: Sequence[int]) -> DonorState:
        """The state in which the place of player p in the pairing belongs to the player on ``seats[p]``."""
        first, second = (tuple(seats[player] for player in group) for group in state.groups)
        return replace(state, groups=(first, second))

    def pairs(self, state: DonorState) -> dict[int, int]:
        """The recipient of each donor of the present round."""
        giving, half = len(state.past) % 2, self.players // 2
        donors, recipients = state.groups[giving], state.groups[1 - giving]
        shift = len(state.past) // 2 + giving * ((half + 1) // 2)
        return {donor: recipients[(place + (-shift if giving else shift)) % half] for place, donor in enumerate(donors)}

    def to_act(self, state: DonorState) -> tuple[int, ...]:
        return tuple(sorted(self.pairs(state))) if len(state.past) < self.rounds else ()

    def traced(self, state: DonorState, donor: int) -> tuple[Donation, ...]:
        """What the recipient of a donor did last, what who met it then had done before that, and so on; latest first."""
        chain: list[Donation] = []
        player = self.pairs(state)[donor]
        for donations in state.past[::-1][: self.trace]:
            (made,) = [donation for donation in donations if donation.donor == player]
            chain.append(made)
            player = made.recipient
        return tuple(chain)

    def observe(self, state: DonorState, player: int) -> Observation:
        recipient = self.pairs(state).get(player)
        trace = () if recipient is None else self.traced(state, player)
        view = DonorView(
            player=player,
            round=len(state.past),
            own=state.resources[player],
            other=None if recipient is None else state.resources[recipient],
            trace=tuple(made.percentage for made in trace),
            levels=self.percentages,
            punishment=self.punishment,
        )
        lines = [] if state.past else [self.rules()]
        if recipient is not None:
            lines.append(self._question(state, player, view))
        elif not state.past:
            lines.append("You are a recipient in the first round.")
        gift, punish = _gift(self.percentages), _punish(self.percentages)
        pattern = f"{gift.pattern.pattern}|{punish.pattern.pattern}" if self.punishment else gift.pattern.pattern
        also = f" Or type a punishment, such as {punish.form(self.percentages[1])}." if self.punishment else ""
        return Observation("\n".join(lines), view, pattern, form=gift.form("{}"), help=gift.help + also)

    def _question(self, state: DonorState, player: int, view: DonorView) -> str:
        received = [made.received for made in state.past[-1] if made.recipient == player] if state.past else []
        news = [f"In the last round you {'received' if units >= 0 else 'lost'} {number(abs(units))} units." for units in received]
        have = f"You have {number(view.own)} units, the other player {number(view.other or 0)}."
        now = f"Round {view.round + 1}: you are a donor. {have}"
        return " ".join([*news, now, *_told(view.trace), "Your gift?"])

    def rules(self) -> str:
        """What every player is told before anything else."""
        facts = {
            "players": self.players,
            "endowment": self.endowment,
            "multiplier": f"{self.multiplier:g}",
            "gift": _gift(self.percentages).form(self.percentages[len(self.percentages) // 2]),
            "punish": _punish(self.percentages).form(self.percentages[1]),
            "levels": ", ".join(map(str, self.percentages)),
            "paid": ", ".join(map(str, self.percentages[1:])),
        }
        named = self.named and bool(self.levels)
        parts = {
            "punishing": self.punishment,
            "write": self.punishment,
            "trace": self.trace,
            "gifts": named,
            "costs": named and self.punishment,
        }
        return told(WORDING, facts, [part for part, present in parts.items() if present])

    def parse(self, state: DonorState, player: int, text: str) -> int | None:
        """The percentage given; that paid for a punishment as a negative number."""
        paid = _punish(self.percentages).parse(text) if self.punishment else None
        return _gift(self.percentages).parse(text) if paid is None else -paid

    def default_action(self, state: DonorState, player: int) -> int:
        """Nothing is given."""
        return 0

    def step(self, state: DonorState, actions: Mapping[int, int]) -> Step:
        rewards = [0.0] * self.players
        donations = []
        for donor, recipient in self.pairs(state).items():
            paid = state.resources[donor] * (abs(actions[donor]) / 100)
            effect = self.multiplier * paid
            received = effect if actions[donor] >= 0 else -min(effect, state.resources[recipient])
            rewards[donor], rewards[recipient] = 0.0 - paid, received
            donations.append(Donation(donor, recipient, actions[donor], received))
        resources = tuple(had + change for had, change in zip(state.resources, rewards, strict=True))
        past = (*state.past, tuple(donations))
        info = {"pairs": [[made.donor, made.recipient] for made in donations], "before": list(state.resources)}
        return Step(DonorState(state.groups, resources, past), tuple(rewards), done=len(past) == self.rounds, info=info)

    def resample(self, state: DonorState, player: int, rng: random.Random) -> DonorState:
        """Draw afresh what the player is not told: what those have whom it does not meet, and what they did."""
        recipient = self.pairs(state).get(player)
        trace = {} if recipient is None else dict.fromkeys(self.traced(state, player))
        resources = tuple(
            had if seat in (player, recipient) else rng.uniform(0, 2 * self.endowment) for seat, had in enumerate(state.resources)
        )

        def fresh(made: Donation) -> Donation:
            known = made in trace or player in (made.donor, made.recipient)
            return made if known else replace(made, percentage=rng.choice(self.percentages))

        return replace(state, resources=resources, past=tuple(tuple(map(fresh, donations)) for donations in state.past))


def _told(trace: Sequence[int]) -> list[str]:
    """The trace in words, one sentence for each donation: who is met is told of by letters."""
    sentences = []
    for back, percentage in enumerate(trace):
        when = "In the round before that" if back else "In the last round"
        who, whom = "it" if not back else chr(ord("A") + back), chr(ord("B") + back)
        sentences.append(
            f"{when} {who} {f'gave {percentage}% to {whom}' if percentage >= 0 else f'punished {whom} with {-percentage}%'}."
        )
    return sentences


def _gift(levels: tuple[int, ...]) -> Amount:
    return amount("Gift", levels, "%")


def _punish(levels: tuple[int, ...]) -> Amount:
    return amount("Punish", levels[1:], "%")


def donor(**parameters: Any) -> Donor:
    """The donor game: gifts to strangers are worth twice as much to them, and word of them spreads (Vallinder and Hughes, 2024)."""
    return build(Donor, {}, parameters)
