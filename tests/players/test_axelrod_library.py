"""Strategies of the Axelrod library: move for move as in the library's own matches; who may sit where; copies share nothing."""

from __future__ import annotations

import asyncio
import copy
import pickle
import random
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import detente
from detente import cli
from detente.errors import UserError
from detente.games import make
from detente.games.base import Observation
from detente.options import AnswerOptions
from detente.players import axelrod_library
from detente.players.axelrod_library import AxelrodPlayer, axelrod_player, find, seated
from detente.policies import Policies
from detente.records import Completion, PolicyRef
from detente.rollout import Match, play_matches

LETTERS = ("C", "D")
IPD: Any = make("ipd")
SLOW = ("MetaMajorityMemoryOne", "NMWEMemoryOne", "MetaWinnerMemoryOne", "MemoryDecay")


@pytest.fixture(scope="module")
def axl() -> Any:
    return axelrod_library.library()


def unknown_length(game: Any) -> Any:
    """What the library tells players of a match whose end is drawn."""
    return {"length": float("inf"), "game": game, "noise": 0}


def moves(*players: Any, game: str = "ipd", rounds: int = 10, seed: int = 0, **parameters: Any) -> Any:
    """The joint moves of a match of ours."""
    (episode,) = play_matches([Match(make(game, rounds=rounds, **parameters), seed, players)])
    assert all(turn.valid for turn in episode.turns())
    return [tuple(turn.action for turn in sorted(played.turns, key=lambda turn: turn.player)) for played in episode.rounds]


def reseeded(match: Any, player: Any) -> Any:
    """The seed that a match of the library gave to a player, which it does for those with random moves only."""
    return getattr(match.players[player], "_seed", 5)


# ---- the library plays the same


@pytest.mark.filterwarnings("ignore:divide by zero")  # by strategies of the library
@pytest.mark.parametrize(("game", "rpst"), [("ipd", (3, 1, 0, 5)), ("stag_hunt", (4, 2, 0, 3)), ("chicken", (3, 0, 1, 4))])
def test_every_strategy_plays_as_in_the_library(axl: ModuleType, game: str, rpst: tuple[int, int, int, int]) -> None:
    """Against the library's Random, which is seeded as the library seeds it; Knight et al.'s Match is the judge."""
    r, p, s, t = rpst
    theirs = axl.Game(r=r, s=s, t=t, p=p)
    played, refused = 0, []
    chosen = [*axl.short_run_time_strategies, *(find(name) for name in SLOW)] if game == "ipd" else axl.short_run_time_strategies
    for number, strategy in enumerate(chosen):
        try:
            axelrod_library.checked(strategy.__name__, make(game))
        except UserError:
            refused.append(strategy.__name__)
            continue
        match = axl.Match((strategy(), axl.Random(0.6)), 24, match_attributes=unknown_length(theirs), seed=number)
        expected = [(str(own), str(other)) for own, other in match.play()]
        other = Sequence("".join(move for _, move in expected))
        assert moves(AxelrodPlayer(strategy.__name__, reseeded(match, 0)), other, game=game, rounds=24) == expected, strategy
        played += 1
    assert played > 200
    assert bool(refused) == (game != "ipd")
    for name in refused:  # zero-determinant strategies, whose probabilities would leave [0, 1], and teams that have one
        assert any(each.__name__.startswith("ZD") for each in (find(name), *map(type, getattr(find(name)(), "team", ()))))


@dataclass
class Sequence:
    """Answers given moves, whatever happens."""

    given: str
    policy = PolicyRef("script", "sequence")

    async def act(self, observation: Any) -> Any:
        view = observation.view
        return Completion(view.answers[LETTERS.index(self.given[len(view.own)])], self.policy)

    def close(self) -> None:
        pass


def test_both_seats_and_random_numbers_as_in_the_library(axl: ModuleType) -> None:
    match = axl.Match((axl.Random(), axl.GTFT()), 40, match_attributes=unknown_length(axl.Game()), seed=9)
    expected = [(str(own), str(other)) for own, other in match.play()]
    assert moves(*(AxelrodPlayer(name, reseeded(match, i)) for i, name in enumerate(("Random", "GTFT"))), rounds=40) == expected


def test_probabilities_are_told_where_nothing_is_random(axl: ModuleType) -> None:
    """For these any two seeds must agree, here on random histories; of the others nobody knows the probabilities."""
    rng = random.Random(0)
    certain = 0
    for strategy in axl.short_run_time_strategies:
        own, other = ("".join(rng.choices("CD", k=20)) for _ in range(2))
        first, second = (asyncio.run(AxelrodPlayer(strategy.__name__, seed).act(seen(own, other))) for seed in (1, 2))
        if axl.Classifiers["stochastic"](strategy()):
            assert first.probabilities == ()
        else:
            assert first.text == second.text
            assert first.probabilities == {"<A>": (1, 0), "<B>": (0, 1)}[first.text]
            certain += 1
    assert certain > 100


# ---- what a player sees


def seen(own: str, other: str, game: str = "ipd", player: int = 0) -> Observation:
    """An observation with these histories, in the payoffs of a game."""
    rules = make(game)
    view = rules.observe(rules.reset(random.Random(0)), player).view
    return Observation("", replace(view, own=tuple(own), other=tuple(other)), "")


def answer(player: Any, own: str, other: str) -> str:
    said = asyncio.run(player.act(seen(own, other))).text
    return LETTERS[("<A>", "<B>").index(said)]


def test_a_move_that_was_replaced_is_its_own_past() -> None:
    """Win-stay, lose-shift looks at its own last move: defecting on a cooperator pays, so it goes on defecting."""
    player = axelrod_player("axelrod:WinStayLoseShift", 0, IPD)
    assert answer(player, "", "") == "C"
    assert answer(player, "D", "C") == "D"  # it had answered C, the game played D
    assert answer(player, "DC", "CC") == "C"


@pytest.mark.parametrize("name", ["Random", "GTFT", "Gradual", "EvolvedHMM5", "AdaptorBrief", "Adaptive", "Stalker", "MetaHunter"])
def test_replaced_moves_as_in_a_noisy_match_of_the_library(axl: ModuleType, name: str) -> None:
    """The library overwrites a noisy player's history, too."""
    attributes = unknown_length(axl.Game())
    match = axl.Match((find(name)(), axl.Random(0.7)), 30, noise=0.3, match_attributes=attributes, seed=4)
    record = match.play()
    own, other = ("".join(str(joint[i]) for joint in record) for i in (0, 1))
    judge = find(name)()  # asked again with the same histories, as Match.play asks
    judge.set_match_attributes(**attributes)
    judge.set_seed(reseeded(match, 0))
    stand_in, player = axl.MockPlayer(), AxelrodPlayer(name, reseeded(match, 0))
    differed = 0
    for t, (a, b) in enumerate(record):
        proposed = judge.strategy(stand_in)
        assert answer(player, own[:t], other[:t]) == str(proposed)
        differed += proposed != a
        judge.update_history(a, b)
        stand_in.update_history(b, a)
    assert differed > 3


def test_what_it_is_told(axl: ModuleType) -> None:
    for game, rpst in {"ipd": (3, 1, 0, 5), "stag_hunt": (4, 2, 0, 3), "chicken": (3, 0, 1, 4)}.items():
        told = seated(axl.TitForTat, make(game).payoffs, 0).match_attributes  # type: ignore[attr-defined]
        assert told["game"].RPST() == rpst
        assert (told["length"], told["noise"]) == (float("inf"), 0)


def test_its_own_points_come_first_in_an_asymmetric_game(axl: ModuleType) -> None:
    payoffs = (((3, 2), (0, 7)), ((5, 0), (1, 1)))
    for player, own_first in ((0, lambda cell: cell), (1, lambda cell: cell[::-1])):
        view = make("matrix", payoffs=payoffs).observe(make("matrix", payoffs=payoffs).reset(random.Random(0)), player).view
        scores = seated(axl.TitForTat, view.payoffs, 0).match_attributes["game"].scores
        for i, own in enumerate((axl.Action.C, axl.Action.D)):
            for j, other in enumerate((axl.Action.C, axl.Action.D)):
                cell = payoffs[i][j] if player == 0 else payoffs[j][i]
                assert scores[own, other] == own_first(cell)


def test_the_labels_are_those_of_the_episode() -> None:
    for seed in range(8):
        both = (axelrod_player("axelrod:Alternator", 1, IPD), axelrod_player("axelrod:TitForTat", 2, IPD))
        assert moves(*both, seed=seed, counterbalance=True, rounds=4) == [("C", "C"), ("D", "C"), ("C", "D"), ("D", "C")]


def test_actions_may_have_other_names() -> None:
    game = replace(make("ipd", rounds=3), actions=("give", "take"), cooperative="give")  # type: ignore[type-var]
    players = [axelrod_player("axelrod:TitForTat", 0, IPD), axelrod_player("axelrod:Defector", 0, IPD)]
    (episode,) = play_matches([Match(game, 0, players)])
    assert [turn.action for turn in episode.turns(0)] == ["give", "take", "take"]


# ---- seeds and copies


def test_the_seed_decides() -> None:
    def played(seed: Any) -> Any:
        return moves(axelrod_player("axelrod:Random", seed, IPD), axelrod_player("axelrod:Cooperator", 0, IPD), rounds=40)

    assert played(3) == played(3)
    assert played(3) != played(4)
    assert played(2**63 - 1)  # ours go further than the library's


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda player: pickle.loads(pickle.dumps(player))])
@pytest.mark.parametrize("name", ["Random", "Gradual", "EvolvedHMM5", "SelfSteem"])
def test_copies_share_nothing(name: str, copied: Any) -> None:
    """The original goes one way, its copy another, in turn; each does what a player does who went that way alone."""
    rng = random.Random(1)
    past, left, right = ("".join(rng.choices("CD", k=n)) for n in (12, 12, 12))

    def lone(other: Any) -> Any:
        player, own = axelrod_player(f"axelrod:{name}", 7, IPD), ""
        for t in range(len(other) + 1):
            own += answer(player, own, other[:t])
        return own

    original, own = axelrod_player(f"axelrod:{name}", 7, IPD), ""
    for t in range(len(past) + 1):
        own += answer(original, own, past[:t])
    twin = copied(original)
    assert twin == original
    assert twin._life is not original._life
    histories = [own, own]
    for t in range(1, 13):
        for index, (player, future) in enumerate(((original, left), (twin, right))):
            histories[index] += answer(player, histories[index], past + future[:t])
    assert histories == [lone(past + left), lone(past + right)]


def test_the_same_question_has_the_same_answer_also_later() -> None:
    player = axelrod_player("axelrod:Random", 3, IPD)
    first = [answer(player, "C" * t, "D" * t) for t in range(30)]
    assert [answer(player, "C" * t, "D" * t) for t in (7, 7, 2, 29, 0)] == [first[t] for t in (7, 7, 2, 29, 0)]
    assert set(first) == {"C", "D"}


# ---- names, and who may play what


@pytest.mark.parametrize("name", ["TitForTat", "tit_for_tat", "Tit For Tat", "TIT-FOR-TAT", "titfortat"])
def test_a_strategy_however_it_is_spelt(name: str) -> None:
    table = Policies(make("ipd"), AnswerOptions())
    policy = table.resolve(f"axelrod:{name}")
    assert policy == PolicyRef("script", "axelrod:TitForTat")
    assert table.player(policy, chat="x", seed=1).policy == policy
    assert table.player(PolicyRef("script", f"axelrod:{name}"), chat="x", seed=1).policy == policy  # as options name it


def test_every_name_finds_its_strategy(axl: ModuleType) -> None:
    for strategy in axl.strategies:
        assert find(strategy.__name__) is find(strategy.name) is strategy


@pytest.mark.parametrize(
    ("game", "name", "sentence"),
    [
        ("ipd", "tit_for_tatt", r"There is no strategy 'axelrod:tit_for_tatt'; did you mean 'axelrod:TitForTat' or .*\?"),
        ("ipd", "qzxv", r"There is no strategy 'axelrod:qzxv'; see 'detente list axelrod'\."),
        ("ipd", "", r"There is no strategy 'axelrod:'; see 'detente list axelrod'\."),
        ("ipd", "Darwin", r"The strategy 'axelrod:Darwin' inspects or changes its opponent, which no seat allows\."),
        ("stag_hunt", "zd_mischief", r"The strategy 'axelrod:ZDMischief' reckons with payoffs of another kind than .*\."),
        ("chicken", "Meta Mixer", r"The strategy 'axelrod:MetaMixer' reckons with payoffs of another kind than .*\."),
        ("asymmetric", "FirstByDowning", r"The strategy 'axelrod:FirstByDowning' reckons with payoffs of another kind than .*\."),
        (
            "matching_pennies",
            "TitForTat",
            r"The strategy 'axelrod:TitForTat' plays matrix games .*pennies is none\.",
        ),
        ("three", "TitForTat", r"The strategy 'axelrod:TitForTat' plays matrix games .*matrix is none\."),
        (
            "trust_and_split",
            "TitForTat",
            r"The strategy 'axelrod:TitForTat' plays matrix games .*trust_and_split is none\.",
        ),
    ],
)
def test_refusals(game: str, name: str, sentence: str) -> None:
    tables = {"asymmetric": [[[3, 3], [0, 6]], [[5, 0], [1, 1]]], "three": [[[1, 1]] * 3] * 3}
    rules = make("matrix", payoffs=tables[game]) if game in tables else make(game)
    with pytest.raises(UserError, match=f"^{sentence}$") as caught:
        Policies(rules, AnswerOptions()).resolve(f"axelrod:{name}")
    assert "\n" not in str(caught.value)


def test_another_game_at_the_table_is_refused() -> None:
    with pytest.raises(UserError, match="plays matrix games with two actions"):
        axelrod_player("axelrod:TitForTat", 0, make("split_no_comm"))


def test_strategies_that_ask_for_no_payoffs_play_asymmetric_games() -> None:
    game: Any = make("matrix", payoffs=[[[3, 3], [0, 6]], [[5, 0], [1, 1]]], rounds=3)
    (episode,) = detente.play(game, ["axelrod:TitForTat", "axelrod:Alternator"])
    assert [played.rewards for played in episode.rounds] == [(3, 3), (0, 6), (5, 0)]


def test_without_the_package_one_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    axelrod_library.library.cache_clear()
    monkeypatch.setitem(sys.modules, "axelrod", None)
    try:
        assert cli.main(["play", "ipd", "--seats", "axelrod:TitForTat,tit_for_tat"]) == 2
        said = capsys.readouterr().err
        assert "pip install 'detente[axelrod]'" in said
        assert said.count("\n") == 1
    finally:
        axelrod_library.library.cache_clear()


def test_the_exact_best_response_knows_them_as_it_knows_ours() -> None:
    from detente.evaluation.exploitability import exploitability

    found = []
    for name in ("win_stay_lose_shift", "axelrod:WinStayLoseShift"):
        table = Policies(make("ipd", rounds=5), AnswerOptions())
        found.append(exploitability(table, table.resolve(name)))
    assert found[0] == found[1]


# ---- where users meet them


def test_play_and_list(axl: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["play", "ipd", "--seats", "axelrod:tit for tat,tit_for_tat"]) == 0
    assert "axelrod:TitForTat 3.00, tit_for_tat 3.00" in capsys.readouterr().out
    assert cli.main(["list", "axelrod"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f"axelrod:{strategy.__name__}" for strategy in axl.strategies]
    (random_one,) = (line for line in lines if line.startswith("axelrod:Random "))
    assert "Random (random moves): " in random_one
    assert cli.main(["list", "players"]) == 0
    assert sum(line.startswith("axelrod:NAME ") for line in capsys.readouterr().out.splitlines()) == 1


def test_opponents_in_training_and_evaluation(tiny_model: str, tmp_path: Path) -> None:
    from detente import config
    from detente.learning import loop
    from detente.records import read_episodes
    from detente.reports import report

    options = (
        "device=cpu game.rounds=3 game.counterbalance=true iterations=2 episodes=4 group_size=4 lora.rank=2 "
        "opponents.kept=0 opponents.scripted=0.5 opponents.scripts=[axelrod:Random,axelrod:Grudger] "
        "evaluation.episodes=2 evaluation.every=1 evaluation.against=[axelrod:win_stay_lose_shift,tit_for_tat]"
    )
    run = loop.train(config.load("ipd", [*options.split(), f"model={tiny_model}"]), tmp_path / "run")
    met = {str(policy) for episode in read_episodes(run / "episodes" / "000001.jsonl.gz") for policy in episode.policies}
    assert met & {"axelrod:Random", "axelrod:Grudger"}
    summary = (run / "summary.json").read_text()
    assert '"axelrod:win_stay_lose_shift"' in summary
    assert "axelrod:win_stay_lose_shift" in report([run]).read_text()


def test_a_misspelt_opponent_stops_training_before_it_starts(tiny_model: str, tmp_path: Path) -> None:
    from detente import config
    from detente.learning import loop

    options = config.load("ipd", [f"model={tiny_model}", "evaluation.against=[axelrod:grudgr]"])
    with pytest.raises(UserError, match="did you mean 'axelrod:Grudger'"):
        loop.train(options, tmp_path / "run")
