"""Every game keeps the contract, and the contract notices each way to break it."""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from detente import config
from detente.errors import UserError
from detente.games import FAMILIES, GAMES, Family, Observation, Step, family_of, make, matrix, splitting
from detente.games.contract import check_game

RPS = [[[0, 0], [-1, 1], [1, -1]], [[1, -1], [0, 0], [-1, 1]], [[-1, 1], [1, -1], [0, 0]]]
NEEDED = {"matrix": {"payoffs": RPS}}
GUIDE = Path(__file__).parents[2] / "docs" / "add-a-game.md"


@pytest.mark.parametrize("name", matrix.FAMILY.games)
@pytest.mark.parametrize("variant", [{}, {"counterbalance": True}, {"continuation": 0.7, "max_rounds": 8}, {"rounds": 1}])
def test_matrix_games(name: str, variant: Any) -> None:
    check_game(make(name, **NEEDED.get(name, {}), **variant), episodes=5)


def talk_or_ask(told: Observation, rng: random.Random) -> str:
    view = told.view
    if told.phase == "decision":
        return view.ask(rng.randint(0, q) for q in view.stock)
    claim = view.claim.format(rng.choice(view.vocabulary))
    return view.message(rng.choice(["", claim, f"{claim}\nLast round you got 0 points.", "I'd say: 50/50? {} \\ ключ 🗝"]))


def talk_or_fish(told: Observation, rng: random.Random) -> str:
    view = told.view
    return view.message(rng.choice(["", "Less!"])) if told.phase == "message" else view.ask(rng.randint(0, view.stock))


def by_script(family: Family) -> Any:
    """As the random script of a family answers."""
    return lambda told, rng: str(family.strategies["random"](told.view, rng))


SAMPLES = {family.name: by_script(family) for family in FAMILIES} | {"matrix": None, "splitting": talk_or_ask}


@pytest.mark.parametrize("name", GAMES)
def test_every_game(name: str) -> None:
    game: Any = make(name, **NEEDED.get(name, {}))
    check_game(game, episodes=2, sample=SAMPLES.get(family_of(game).name))


SPLITTING_VARIANTS = [
    {},
    {"messages": 0, "tags": "line"},
    {"messages": 1, "tags": "xml", "reveal": []},
    {"messages": 2, "message_chars": 60, "tags": "line", "reveal": ["points"]},
    {"messages": 3, "continuation": 0.7, "max_rounds": 8, "reveal": ["asks", "values"]},
    {"rounds": 2},
]


@pytest.mark.parametrize("name", splitting.FAMILY.games)
@pytest.mark.parametrize("variant", SPLITTING_VARIANTS, ids=str)
def test_splitting_games(name: str, variant: dict[str, Any]) -> None:
    check_game(make(name, **{"rounds": 3} | variant), episodes=3, sample=talk_or_ask)


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("trust_and_split", {"coins": 1, "upper": 2, "lower": 0}),
        ("trust_and_split", {"coins": 30, "alternating_hands": True, "items": ["gems"]}),
        ("trust_and_split_items", {"items": ["gold", "silver"], "stock": 1, "low": 0, "high": 1}),
        ("trust_and_split_items", {"items": ["one", "two", "three", "four", "five"], "public": True}),
        ("split_no_comm", {"public": False, "messages": 1}),
        ("deal_or_no_deal", {"items": ["apples", "pears", "plums"]}),
    ],
    ids=str,
)
def test_options_of_single_splitting_games(name: str, variant: Any) -> None:
    check_game(make(name, rounds=3, **variant), episodes=3, sample=talk_or_ask)


@pytest.mark.parametrize(
    "variant",
    [
        {"players": 2},
        {"players": 4, "noise": 0.3, "window": 2},
        {"players": 3, "institutions": False, "multiplier": 1.8, "levels": [0, 10, 20]},
        {"players": 3, "institutions": False, "noise": 1.0, "continuation": 0.7, "max_rounds": 8, "endowment": 1},
        {"players": 3, "counterbalance": True, "labels": ["X1", "Y"], "tokens": 1, "punish": 0.1, "reward": 0.7, "multiplier": 0.3},
    ],
    ids=str,
)
def test_public_goods(variant: dict[str, Any]) -> None:
    check_game(make("public_goods", **{"rounds": 3} | variant), episodes=3, sample=SAMPLES["public goods"])


def test_asymmetric_and_larger_tables() -> None:
    check_game(make("matrix", payoffs=[[[3, 1], [-2, 5]], [[5, 0.25], [1, 1]]]), episodes=5)
    check_game(make("matrix", payoffs=[[[i - j, i * j] for j in range(5)] for i in range(5)], counterbalance=True), episodes=5)


@dataclass(frozen=True)
class Hands:
    """What the seed dealt, whose message is public, and how many rounds were played."""

    cards: tuple[int, int]
    message: str = ""
    played: int = 0


@dataclass(frozen=True)
class Cards:
    """A correct game with a hidden card each, two phases in a round and free text; the broken games below change one thing.

    Player 0 says something, then both bid 0 to 9 at once; a bid pays its distance from the other player's card.
    """

    rounds: int = 3

    num_players = 2
    reward_bounds = (0.0, 9.0)

    @property
    def name(self) -> str:
        module = importlib.import_module("detente.games")
        module.GAMES.setdefault(f"test_{type(self).__name__}", type(self))
        return f"test_{type(self).__name__}"

    def parameters(self) -> dict[str, int | str]:
        return {"name": self.name, **asdict(self)}

    def reset(self, rng: Random) -> Hands:
        return Hands((rng.randrange(10), rng.randrange(10)))

    def to_act(self, state: Hands | Table) -> tuple[int, ...]:
        return (0, 1) if state.message else (0,)

    def observe(self, state: Hands | Table, player: int) -> Observation:
        told = f"Your card is {state.cards[player]}. The message is '{state.message}'."
        pattern = "[0-9]" if state.message else "Say: [a-z]{1,9}"
        return Observation(told, (state.cards[player], state.message), pattern)

    def parse(self, state: Hands | Table, player: int, text: str) -> int | str | None:
        found = re.fullmatch(self.observe(state, player).pattern, text.strip())
        return (int(text) if state.message else text.strip()) if found else None

    def default_action(self, state: Hands, player: int) -> int | str:
        return 0 if state.message else "Say: nothing"

    def step(self, state: Hands | Table, actions: dict[Any, Any]) -> Step:
        if not state.message:
            return Step(replace(state, message=actions[0]))
        rewards = tuple(float(abs(actions[player] - state.cards[1 - player])) for player in (0, 1))
        after = replace(state, message="", played=state.played + 1)
        return Step(after, rewards, done=after.played == self.rounds, info={"cards": list(state.cards)})

    def resample(self, state: Hands, player: int, rng: Random) -> Hands:
        cards = list(state.cards)
        cards[1 - player] = rng.randrange(10)
        return replace(state, cards=tuple(cards))  # type: ignore[arg-type]


def answer(observation: Observation, rng: random.Random) -> str:
    return str(rng.randrange(10)) if observation.pattern == "[0-9]" else "Say: " + rng.choice(["hello", "seven", "trust"])


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """The toy games register themselves; leave the registry as it was."""
    before = dict(GAMES)
    yield
    GAMES.clear()
    GAMES.update(before)


def test_messages_hidden_cards_and_phases() -> None:
    check_game(Cards(), sample=answer)  # type: ignore[arg-type]


class Forgetful(Cards):
    def parameters(self) -> dict[str, str]:
        return {"name": self.name}


class NotJson(Cards):
    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "when": {1, 2}}


class Tuples(Cards):
    def parameters(self) -> dict[str, str | tuple[int]]:
        return {**super().parameters(), "rounds": (3,)}  # type: ignore[dict-item]


class Unnamed(Cards):
    def parameters(self) -> dict[str, int]:
        return asdict(self)


class Unknown(Cards):
    def parameters(self) -> dict[str, int | str]:
        return {"name": "unheard_of", **asdict(self)}


class Endless(Cards):
    def step(self, state: Hands, actions: dict[Any, Any]) -> Step:
        return replace(super().step(state, actions), done=False)


class Idle(Cards):
    def to_act(self, state: Hands) -> tuple[Any, ...]:
        return ()


class Ghost(Cards):
    def to_act(self, state: Hands) -> tuple[int, int]:
        return (0, 2)


class TooRich(Cards):
    reward_bounds = (0.0, 8.0)


class OneReward(Cards):
    def step(self, state: Hands, actions: dict[Any, Any]) -> Step:
        step = super().step(state, actions)
        return replace(step, rewards=step.rewards and step.rewards[:1])


class NotANumber(Cards):
    def step(self, state: Hands, actions: dict[Any, Any]) -> Step:
        step = super().step(state, actions)
        return replace(step, rewards=step.rewards and (0.0, float("nan")))


class Unpaid(Cards):
    def step(self, state: Hands, actions: dict[Any, Any]) -> Step:
        step = super().step(state, actions)
        return replace(step, rewards=None) if step.done else step


class EndsEarly(Cards):
    def step(self, state: Hands, actions: dict[Any, Any]) -> Step:
        step = super().step(state, actions)
        return replace(step, done=step.done or (step.rewards is not None and actions[0] > 4))


class Guesses(Cards):
    def parse(self, state: Hands, player: int, text: str) -> int | str | None:
        digits = re.findall("[0-9]", text)
        return int(digits[0]) if state.message and digits else super().parse(state, player, text)


class Fragile(Cards):
    def parse(self, state: Hands, player: int, text: str) -> str | None:
        return int(text) if state.message else super().parse(state, player, text)  # type: ignore[return-value]


class Deaf(Cards):
    def parse(self, state: Hands, player: int, text: str) -> None:
        return None


class BadChoices(Cards):
    def observe(self, state: Hands, player: int) -> Observation:
        told = super().observe(state, player)
        return replace(told, choices=("ten",)) if state.message else told


class TwiceTheChoice(Cards):
    def observe(self, state: Hands, player: int) -> Observation:
        told = super().observe(state, player)
        return replace(told, choices=("1", "1")) if state.message else told


class TupleAction(Cards):
    def parse(self, state: Hands, player: int, text: str) -> str | tuple[int] | None:
        action = super().parse(state, player, text)
        return (action,) if isinstance(action, int) else action

    def step(self, state: Hands, actions: dict[int, str]) -> Step:
        return super().step(state, {p: a[0] if isinstance(a, tuple) else a for p, a in actions.items()})


class IntegerKeys(Cards):
    def step(self, state: Hands, actions: dict[int, str]) -> Step:
        return replace(super().step(state, actions), info={1: "one"})  # type: ignore[dict-item]


class BadDefault(Cards):
    def default_action(self, state: Hands, player: int) -> str:
        return "nothing" if state.message else "Say: nothing"


class Unseeded(Cards):
    def reset(self, rng: Random) -> Hands:
        return Hands((random.randrange(10), random.randrange(10)))


class Counting(Cards):
    calls = 0

    def observe(self, state: Hands, player: int) -> Observation:
        Counting.calls += 1
        told = super().observe(state, player)
        return replace(told, text=f"{told.text} {Counting.calls}")


class FirstComeFirstServed(Cards):
    def step(self, state: Hands, actions: dict[Any, Any]) -> Step:
        step = super().step(state, actions)
        first = next(iter(actions))
        return replace(step, rewards=step.rewards and tuple(9.0 * (player == first) for player in (0, 1)))


class Symmetric(Cards):
    symmetric = True


class Leaks(Cards):
    def observe(self, state: Hands, player: int) -> Observation:
        told = super().observe(state, player)
        return replace(told, text=f"{told.text} Cards: {state.cards}.")


class LeaksToScripts(Cards):
    def observe(self, state: Hands, player: int) -> Observation:
        return replace(super().observe(state, player), view=state)


class NothingHidden(Cards):
    def resample(self, state: Hands, player: int, rng: Random) -> Hands:
        return state


@dataclass
class Table:
    """A state that can be changed."""

    cards: tuple[int, int]
    message: str = ""
    played: int = 0


class ChangesInPlace(Cards):
    def reset(self, rng: Random) -> Table:
        return Table((rng.randrange(10), rng.randrange(10)))

    def step(self, state: Table, actions: dict[int, str]) -> Step:
        step = super().step(state, actions)
        state.message, state.played = step.state.message, step.state.played
        return replace(step, state=state)


class ChangesOnLook(ChangesInPlace):
    def observe(self, state: Table, player: int) -> Observation:
        state.played += 0 if state.message else 1
        return super().observe(state, player)

    def step(self, state: Hands | Table, actions: dict[Any, Any]) -> Step:
        return Cards.step(self, state, actions)


class Opaque(Cards):
    def reset(self, rng: Random) -> object:
        return object()


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("parameters", Forgetful(rounds=4)),
        ("parameters", NotJson()),
        ("parameters", Tuples()),
        ("parameters", Unnamed()),
        ("parameters", Unknown()),
        ("turns", Endless()),
        ("turns", Idle()),
        ("turns", Ghost()),
        ("rewards", TooRich()),
        ("rewards", OneReward()),
        ("rewards", NotANumber()),
        ("rewards", Unpaid()),
        ("rounds", EndsEarly()),
        ("choices", Guesses()),
        ("choices", Fragile()),
        ("choices", Deaf()),
        ("choices", BadChoices()),
        ("choices", TwiceTheChoice()),
        ("choices", TupleAction()),
        ("choices", IntegerKeys()),
        ("default", BadDefault()),
        ("seed", Unseeded()),
        ("seed", Counting()),
        ("seed", FirstComeFirstServed()),
        ("symmetric", Symmetric()),
        ("private", Leaks()),
        ("private", LeaksToScripts()),
        ("private", NothingHidden()),
        ("states: step", ChangesInPlace()),
        ("states: observe", ChangesOnLook()),
        ("states: a copy", Opaque()),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_broken_games_are_noticed(rule: str, broken: Any) -> None:
    with pytest.raises(AssertionError, match=f"^{rule}\\b.*\\.$"):
        check_game(broken, sample=answer, max_steps=100)


def test_a_table_that_claims_to_be_symmetric() -> None:
    class Claims(type(make("ipd"))):  # type: ignore[misc]
        symmetric = True

        def parameters(self) -> dict[str, Any]:
            return super().parameters() | {"name": "claims"}

    GAMES["claims"] = lambda **parameters: Claims("claims", **parameters)
    game = Claims("claims", ("C", "D"), (((3, 3), (0, 5)), ((5, 1), (1, 1))))
    with pytest.raises(AssertionError, match=r"^symmetric: .*pays"):
        check_game(game)


def test_a_game_without_choices_needs_a_sample() -> None:
    with pytest.raises(UserError, match="needs sample="):
        check_game(Cards())  # type: ignore[arg-type]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_game_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, check, *_ = blocks("python")
    (tmp_path / "public_goods.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    exec(check, {})
    (tmp_path / "public_goods.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    options = config.load(str(tmp_path / "public_goods.yaml"), trust=True)
    game: Any = make(**options.game)
    assert game.num_players == len(options.seats) == 3
    step = game.step(game.reset(random.Random(0)), {0: "give", 1: "keep", 2: "keep"})
    assert step.rewards == (2, 5, 5)  # one giver: two coins for each, and three for whoever kept
