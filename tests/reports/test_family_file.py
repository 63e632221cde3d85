"""What is known of a game, written by whoever plays it and read by whoever shows it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import detente
from detente.errors import UserError
from detente.family_file import FILE, Description, description, references, write
from detente.games import Measure, make
from detente.games.family import Family
from detente.games.reading import Anchor, Chapter, Column, Condition, Plot, Reading, Result, Verdict, verdict
from detente.reports.run import read_runs
from detente.reports.sections import sections
from detente.reports.study import Study
from tests.reports.make_run import CONDITIONS, STRATEGIES, make_run

OWN = """
from dataclasses import replace
from detente.games.matrix import ipd

def dilemma(name="own_dilemma:dilemma", **parameters):
    return replace(ipd(**{key: value for key, value in parameters.items() if key not in ("actions", "cooperative")}), name=name)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options of the prisoner's dilemma as somebody's own game; nothing of theirs is imported any more."""
    (tmp_path / "own_dilemma.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    game = make("own_dilemma:dilemma", rounds=4)
    write(tmp_path, game, STRATEGIES)
    monkeypatch.delitem(sys.modules, "own_dilemma")
    return game.parameters()


def test_a_game_from_outside_is_reported_like_one_of_the_package(own: dict[str, Any], tmp_path: Path) -> None:
    ours = make("ipd", rounds=4).parameters()
    runs = [make_run(tmp_path / n / "run", iterations=4, overrides={"game": game}) for n, game in (("ours", ours), ("own", own))]
    write(runs[0], make(**ours))
    (runs[1] / FILE).write_text((tmp_path / FILE).read_text())
    first, second = (Study(read_runs([run])) for run in runs)
    assert first.reading.verdict(first.entries[0].result) == "mutual defection"
    for here, there in zip(sections(first), sections(second), strict=True):
        assert (here.title, here.text, here.drawn, here.plots) == (there.title, there.text, there.drawn, there.plots)
    assert [entry.result for entry in first.entries] == [entry.result for entry in second.entries]
    assert first.references == second.references
    assert "own_dilemma" not in sys.modules


@pytest.mark.parametrize("name", ["ipd", "matching_pennies", "trust_and_split"])
def test_what_is_written_is_what_the_package_knows(name: str, tmp_path: Path) -> None:
    game = make(name)
    before = description(tmp_path, game.parameters())
    write(tmp_path, game)
    assert description(tmp_path, game.parameters()) == before


def test_references_of_a_game_from_outside_are_played_when_it_is(own: dict[str, Any], tmp_path: Path) -> None:
    known = description(tmp_path, own)
    first = references(known, own, ())[0]
    assert first.learner == "tit_for_tat"
    assert first.against["always_defect"]["reward"] == pytest.approx(3 / 4)  # a sucker once, then three points of defection
    assert set(first.given) == {f"cooperate_given/{condition}" for condition in CONDITIONS}
    assert references(description(tmp_path / "nothing", own), own, ()) == ()


def test_whatever_plays_writes_it(tiny_model: str, tmp_path: Path) -> None:
    changes = [f"model={tiny_model}", "game.rounds=2", "iterations=1", "episodes=2", "group_size=2", "lora.rank=2"]
    config = detente.load("ipd", [*changes, "evaluation.episodes=0"])
    detente.train(config, tmp_path / "run")
    detente.arena(config, ["tit_for_tat", "random"], tmp_path / "arena", episodes=1)
    detente.fingerprint(config, ["tit_for_tat"], tmp_path / "print")
    for folder in ("run", "arena", "print"):
        assert description(tmp_path / folder, {}).words("cooperation_rate") == "cooperation rate"


FULL = Reading(
    anchors=(Anchor("all", 1.0),),
    plots=(Plot(("giving",), "Giving", (0, 1)),),
    chapters=(Chapter("after", "After", "", "", (Column("giving_after/all", "all", "everybody gave"),)),),
    verdicts=(Verdict("kind", "gives", (Condition("self_play/giving", least=0.5),)),),
)
HARMFUL: dict[str, Callable[[dict[str, Any]], object]] = {
    "a path": lambda found: found["reading"]["chapters"][0].update(name="../../x"),
    "a part of the page": lambda found: found["reading"]["chapters"][0].update(name="outcome"),
    "twice": lambda found: found["reading"]["chapters"].append(found["reading"]["chapters"][0]),
    "a key without a table": lambda found: found["reading"]["chapters"][0]["columns"][0].update(key="all"),
    "division by nothing": lambda found: found["reading"]["chapters"][0].update(most=0),
    "no row": lambda found: found["reading"]["chapters"][0].update(across=0),
    "a number too large": lambda found: found["reading"]["anchors"][0].update(value=1e200),
    "a text too long": lambda found: found["reading"].update(note="x" * 20_000),
    "too many": lambda found: found["reading"].update(anchors=found["reading"]["anchors"] * 1000),
    "another type": lambda found: found.update(measures={"giving": 1}),
    "something unknown": lambda found: found.update(script="x"),
    "a later format": lambda found: found.update(format=99),
    "no object": lambda found: found.clear(),
}


class Own:
    """A game of which only what its family says matters here."""

    name = "own"

    def __init__(self, family: Family) -> None:
        self.family = family

    def parameters(self) -> dict[str, Any]:
        return {"name": "elsewhere:Own"}


def own_game(**known: Any) -> Any:
    """A game whose family knows no more than this."""
    reading = known.pop("reading", Reading())
    return Own(Family(name="own", reading=lambda game, meet: reading, **known))


@pytest.mark.parametrize("harm", HARMFUL)
def test_a_strangers_file_gives_one_sentence(harm: str, tmp_path: Path) -> None:
    write(tmp_path, own_game(measures=(Measure("giving", "how often it gives"),), reading=FULL), ())
    assert description(tmp_path, {}).reading == FULL
    found = json.loads((tmp_path / FILE).read_text())
    HARMFUL[harm](found)
    (tmp_path / FILE).write_text(json.dumps(found) if found else "[]")
    with pytest.raises(UserError, match=r"family.json cannot be read as what is known of a game: [^\n]{5,200}\.$"):
        description(tmp_path, {})


def test_what_cannot_be_seen_is_written_out(tmp_path: Path) -> None:
    write(tmp_path, own_game(reading=Reading(note="\x1b[2J\u202eevil")), ())
    assert description(tmp_path, {}).reading.note == "\\x1b[2J\\u202eevil"


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        ({"measures": (Measure("giving/x", ""),)}, "a measure's name is made of letters, digits and underscores, not 'giving/x'"),
        ({"measures": (Measure("reward", ""),)}, "no measure can be called 'reward', which every game has"),
        ({"measures": (Measure("a", ""), Measure("a", ""))}, "two measures are called 'a'"),
        ({"measures": ("giving",)}, r"measures\.0: "),
        ({"reading": Reading(anchors=(Anchor("x", float("nan")),))}, r"reading\.anchors\.0\.value: "),
        ({"reading": Reading(note=object())}, "not JSON serializable"),  # type: ignore[arg-type]
    ],
)
def test_a_family_that_says_what_cannot_be_shown(known: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^What the family 'own' says of own cannot be written down: .*{sentence}"):
        write(tmp_path, own_game(**known), ())
    assert not (tmp_path / FILE).exists()


def test_the_first_verdict_whose_conditions_hold() -> None:
    kind = Verdict("kind", "", (Condition("self_play/giving", least=0.5), Condition("against/taker/reward", below=2, most=5)))
    result = Result("main", {"giving": 0.5}, {"taker": {"reward": 1.9}}, {})
    assert verdict(result, [kind, Verdict("other")]) == "kind"
    assert verdict(replace(result, self_play={"giving": 0.4}), [kind, Verdict("other")]) == "other"
    assert verdict(replace(result, against={"taker": {"reward": 2.0}}), [kind, Verdict("other")]) == "other"
    assert verdict(replace(result, against={}), [kind, Verdict("other")]) == ""  # not measured
    assert verdict(result, []) == ""


def test_measures_in_words() -> None:
    known = Description(measures=(Measure("giving", "", words="how much it gives"), Measure("taking_all", "")))
    assert [known.words(name) for name in ("giving", "taking_all", "reward")] == [
        "how much it gives",
        "taking all",
        "points per round",
    ]


FAILING = """
from detente.games import Family
from detente.games.matrix import MatrixGame

class Failing(MatrixGame):
    family = Family(name="failing", reading=lambda game, meet: 1 / 0)

def failing(**parameters):
    return Failing("own_failing:failing", ("C", "D"), (((1, 1), (0, 2)), ((2, 0), (0, 0))))
"""


def test_nothing_is_begun_where_a_family_cannot_be_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_failing.py").write_text(FAILING)
    monkeypatch.syspath_prepend(tmp_path)
    config = detente.load("ipd", ["game.name=own_failing:failing"])
    with pytest.raises(UserError, match=r"^The family 'failing' of the game .* raised ZeroDivisionError .* in reading"):
        detente.arena(config, ["random"], tmp_path / "arena", episodes=1)
    assert not (tmp_path / "arena").exists()
