"""A family: all that is known of one kind of games, in one frozen value.

    game ── family_of ──> Family ──> who plays it by rule, what is measured in it, what its records say, how a report reads them

The rest of the package asks the family and never what kind of game it has. A game names its family with the attribute ``family``,
the value itself or "module:attribute"; a game without one is of the plain family, of which only rewards and invalid answers are
known. A family of games is a folder here and a line in ``games.FAMILIES``. Must not import anything above games.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, TypeVar

from detente.errors import UserError
from detente.games.base import Game, Observation
from detente.games.decisions import Playable
from detente.games.guard import guarded, guarded_family, is_ours
from detente.games.reading import Meet, Notes, Reading, Result
from detente.games.sides import Scalars, Side, Tables, mean, moves
from detente.games.stage_game import StageGame
from detente.records import Episode, Round

T = TypeVar("T")
Probabilities = tuple[float, ...]  # of each of the choices, in their order
Strategy = Callable[[Any, random.Random], "str | Probabilities"]  # from a view: an answer, or how likely each choice is
Response = tuple[str, "float | None", float]  # what was told, what the other asked for last, what oneself asks for: shares


@dataclass(frozen=True, slots=True)
class Measure:
    """What a policy is, as a number or, with ``table``, as one number for each of several conditions.

    ``name`` stands in metrics and in columns of data, ``meaning`` says what it is. ``words`` are for a reader, by default the name.
    ``head`` is its column while a run trains, "" for none. ``bounds`` None: they depend on the game. ``table``: condition -> the
    head of its column, "" for none.

    ``function(game, sides)`` gives the number, or the table's numbers by condition, where no family does: of a measure that the
    option ``measures`` names.
    """

    name: str
    meaning: str
    words: str = ""
    head: str = ""
    bounds: tuple[float, float] | None = None
    table: Mapping[str, str] = field(default_factory=dict)
    function: Callable[[Any, Sequence[Side]], Any] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Fact:
    """What a turn was in the words of its game: a column of data of this Arrow type, see docs/data.md."""

    name: str
    type: str
    meaning: str


def measures_nothing(game: Any, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """No scalars, no tables."""
    return {}, {}


def no_facts(game: Any, episode: Episode) -> Iterator[Mapping[str, Any]]:
    """Nothing about any turn."""
    return ({} for _ in episode.turns())


def exploited_by_actions(game: Any, episode: Episode) -> list[list[int]]:
    """For each round who cooperated while the other defected, where the record of two players names a cooperative action."""
    cooperative = episode.game.get("cooperative")
    if cooperative is None or episode.num_players != 2:
        return [[] for _ in episode.rounds]
    actions = [{player: action == cooperative for player, action in moves(played).items()} for played in episode.rounds]
    return [[player for player in (0, 1) if acted[player] and not acted[1 - player]] for acted in actions]


def has_payoffs(game: Any) -> bool:
    """Whether there is a payoff table, from which all players know all points."""
    return hasattr(game, "payoffs")


def plain_reading(game: Any, meet: Meet) -> Reading:
    """Only what was measured is known."""
    return Reading()


def no_references(game: Any, meet: Meet, strategies: Sequence[str]) -> tuple[Result, ...]:
    """There are none."""
    return ()


def no_notes(game: Any, played: Round) -> None:
    """Nothing beyond what was said."""


def points_told(game: Any, played: Round, player: int, seed: int) -> str:
    """Its own points, and those of the others where players learn them."""
    own = f"you got {played.rewards[player]:g}"
    others = [f"{points:g}" for seat, points in enumerate(played.rewards) if seat != player]
    return f"{own}, they got {' and '.join(others)}" if others and family_of(game).tells_points(game) else own


def no_rules(game: Any) -> str:
    """The rules are the first thing that a player is told."""
    return ""


def plays_all(game: Any, strategy: str) -> bool:
    """Every strategy of the family can play every game of it."""
    return True


def every_seat(game: Any, strategy: str) -> Sequence[int]:
    """A strategy can sit anywhere."""
    return range(game.num_players)


def faces_nobody(game: Any, script: Strategy, seat: int, plays: Strategy | None) -> None:
    """No script has a finite description."""


def always(answer: T) -> Callable[[Any], T]:
    """What a family says alike of all its games, such as the name of the strategy that cooperates."""
    return partial(_said, answer)


def _said(answer: T, game: Any) -> T:
    return answer


def its_rules(game: Any) -> str:
    """The rules of a game that tells them itself."""
    rules: str = game.rules()
    return rules


def none_of(game: Any) -> None:
    """The game has nothing of the kind."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What is known of a kind of games; ``game`` is always one of the family.

    games         the family's games in the package, by name
    strategies    scripted players by name; of these the ones that can_play(game, name). ``random`` needs no entry where answers are
                  chosen from a list
    seats         seats(game, name): the seats, from 0 on, that a strategy can take; some play one role alone
    attacks       strategies that attack with what they say -> the one that acts like them and says the truth alone; an evaluation
                  plays against these only where they are named
    swayed        the measures of a player that such an attack may move
    cooperator    the strategy that cooperates whatever happens
    defector      the strategy that takes what it can whatever happens
    measures      what measure(game, sides) returns: scalars by name, and tables [table][condition]
    facts         what turn_facts(game, episode) says of each turn, in the order played
    responses     what fingerprint curves are made of: (told, last, share asked) of each ask of a side; None: nothing
    exploited     for each round of an episode the players who were exploited in it
    reading       how a report reads the game; what it has to play for that it plays with ``meet``
    references    scripted policies that stand beneath the learners, measured like them: with themselves, and against those of the
                  strategies that play this game
    notes         what a reader is told of a round
    outcome       outcome(game, round, player, seed): what a round came to, in a few words to a player who is about to play the game
                  again, on that game seed
    rules         the game's rules, where players are told more than these at first; else ""
    tells_points  whether players learn what each of the others got
    normal_form   the game as a ``MatrixGame``, if it is one: both act at once, and a table gives the points
    stage_game    the round that the game repeats as a ``StageGame``, where all act at once in it and nothing else counts
    faces         faces(game, script, seat, plays): what a player faces against a script on that seat, as a process, from which
                  exact values are computed; where ``plays`` is a strategy the player plays by it. UserError where the script has
                  no finite description, None where none has
    """

    name: str
    games: Mapping[str, Callable[..., Game]] = field(default_factory=dict)
    strategies: Mapping[str, Strategy] = field(default_factory=dict)
    can_play: Callable[[Any, str], bool] = plays_all
    seats: Callable[[Any, str], Sequence[int]] = every_seat
    attacks: Mapping[str, str] = field(default_factory=dict)
    swayed: tuple[str, ...] = ("reward",)
    cooperator: Callable[[Any], str | None] = none_of
    defector: Callable[[Any], str | None] = none_of
    measures: tuple[Measure, ...] = ()
    measure: Callable[[Any, Sequence[Side]], tuple[Scalars, Tables]] = measures_nothing
    facts: tuple[Fact, ...] = ()
    turn_facts: Callable[[Any, Episode], Iterator[Mapping[str, Any]]] = no_facts
    responses: Callable[[Any, Side], Iterator[Response]] | None = None
    exploited: Callable[[Any, Episode], list[list[int]]] = exploited_by_actions
    reading: Callable[[Any, Meet], Reading] = plain_reading
    references: Callable[[Any, Meet, Sequence[str]], tuple[Result, ...]] = no_references
    notes: Callable[[Any, Round], Notes | None] = no_notes
    outcome: Callable[[Any, Round, int, int], str] = points_told
    rules: Callable[[Any], str] = no_rules
    tells_points: Callable[[Any], bool] = has_payoffs
    normal_form: Callable[[Any], Any] = none_of
    stage_game: Callable[[Any], StageGame | None] = none_of
    faces: Callable[[Any, Strategy, int, Strategy | None], Playable | None] = faces_nobody


PLAIN = Family(name="plain")


def family_of(game: Game | None) -> Family:
    """The family of a game; the plain one of a game that names none, and where there is no game. UserError for no family."""
    named: Family | str = getattr(game, "family", PLAIN)
    try:
        family = _imported(named) if isinstance(named, str) else named
    except Exception as error:  # the module may raise anything
        said = " ".join(f"{type(error).__name__} {error}".split()).rstrip(".")
        raise UserError(f"The family '{named}' of the game {getattr(game, 'name', game)} cannot be imported: {said}.") from error
    if not isinstance(family, Family):
        raise UserError(f"The family '{named}' of the game {getattr(game, 'name', game)} is no Family; see docs/add-a-game.md.")
    return family if game is None or family is PLAIN or is_ours(game) else guarded_family(family, game)


def measured(game: Game, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """Scalars, none without episodes, and tables, with None for what was never seen.

    Of every game: ``reward`` (points per round) and ``invalid`` (the share of invalid answers).
    """
    own, tables = family_of(game).measure(game, sides)
    if not sides:
        return {}, tables
    common: Scalars = {
        "reward": mean(episode.mean_reward(player) for episode, player in sides),
        "invalid": mean(float(not turn.valid) for episode, player in sides for turn in episode.turns(player)),
    }
    return common | own, tables


def measures(game: Game, sides: Sequence[Side]) -> Scalars:
    """All measures that the game has, by name; empty without episodes."""
    scalars, tables = measured(game, sides)
    return scalars | flat_tables(tables) if sides else {}


def flat_tables(tables: Tables) -> Scalars:
    """Tables as metrics: ``ask_told/upper``; ``ask_lower_given/greedy`` where a table holds several measures."""
    result: Scalars = {}
    for table, rows in tables.items():
        for condition, cell in rows.items():
            if isinstance(cell, dict):
                result |= {f"{measure}_given/{condition}": value for measure, value in cell.items()}
            else:
                result[f"{table}/{condition}"] = cell
    return result


def strategies_for(game: Game) -> list[str]:
    """The strategies that can play this game."""
    family = family_of(game)
    own = [name for name in family.strategies if family.can_play(game, name)]
    return own if "random" in family.strategies or not lists_choices(game) else [*own, "random"]


def seats_for(game: Game, strategy: str) -> tuple[int, ...]:
    """The seats that a strategy can take; all of them where its family says nothing of it, as of one of another library."""
    family = family_of(game)
    seats = range(game.num_players)
    return tuple(seat for seat in seats if strategy not in family.strategies or seat in family.seats(game, strategy))


def can_face(game: Game, strategy: str, seat: int) -> bool:
    """Whether a strategy can take every seat but this one."""
    return {*range(game.num_players)} - {seat} <= {*seats_for(game, strategy)}


def lists_choices(game: Game) -> bool:
    """Whether those who act first choose from a list."""
    game = guarded(game)
    state = game.reset(random.Random(0))
    return all(game.observe(state, player).choices for player in game.to_act(state))


def any_choice(observation: Observation) -> str | Probabilities:
    """Every choice with the same probability; where there is no list of choices nothing, which the default action replaces."""
    count = len(observation.choices)
    return (1 / count,) * count if count else ""


@cache
def _imported(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
