from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

import detente
from detente import jsonl
from detente.errors import UserError
from detente.records import Completion, Episode, PolicyRef, Round, Turn, read_episodes, write_episodes
from detente.reports import render_text
from detente.reports.transcript import cooperation, kinds, page_data, rows, sample
from tests.reports.make_run import make_run

NOW, OLD, SCRIPT = PolicyRef("adapter", "main", 9), PolicyRef("adapter", "main", 4), PolicyRef("script", "tit_for_tat")
GAME = {"name": "ipd", "actions": ["C", "D"], "cooperative": "C"}


def turn(player: int, text: str, action: str = "C", valid: bool = True, p: tuple[float, ...] = ()) -> Turn:
    return Turn(player, f"prompt {player}", action, valid, Completion(text, NOW, probabilities=p))


def episode(*policies: PolicyRef, learners: tuple[str | None, ...] = ("main", None), rounds: tuple[Round, ...] = ()) -> Episode:
    return Episode(GAME, 7, policies, rounds or (Round((turn(0, "<A>"), turn(1, "<A>")), (3.0, 3.0), {}),), learners, 10)


def text_of(shown: Episode, width: int = 120) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render_text(shown))
    return console.export_text()


def test_kinds_say_whom_the_learners_met() -> None:
    met = [episode(NOW, NOW, learners=("main", "main")), episode(NOW, NOW), episode(NOW, OLD), episode(NOW, SCRIPT)]
    met += [episode(NOW, PolicyRef("adapter", "elsewhere", 12)), episode(PolicyRef("human", "you"), NOW, learners=(None, "main"))]
    assert kinds(met) == ["self_play", "self_play", "kept", "scripted", "other", "other"]


def test_two_learners_with_their_own_clocks_are_in_self_play() -> None:
    slow, fast = PolicyRef("adapter", "slow", 2), PolicyRef("adapter", "fast", 8)
    assert kinds([episode(slow, fast, learners=("slow", "fast"))]) == ["self_play"]


def test_a_sample_takes_every_kind_before_a_second_of_any(tmp_path: Path) -> None:
    same = [episode(NOW, NOW, learners=("main", "main"))] * 6
    for i in range(1, 31):
        write_episodes(tmp_path / "episodes" / f"{i:06d}.jsonl", [*same, episode(NOW, SCRIPT), episode(NOW, OLD)])
    picks = sample(tmp_path, iterations=3, per_iteration=4)
    assert [kind for kind, _ in picks] == ["self_play", "kept", "scripted", "self_play"] * 3
    assert sample(tmp_path / "nothing") == []


def test_a_sample_of_compressed_files_cut_short_or_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "episodes"
    write_episodes(folder / "000001.jsonl", [episode(NOW, NOW)] * 3)
    write_episodes(folder / "000002.jsonl.gz", [episode(NOW, SCRIPT)] * 3)
    assert [kind for kind, _ in sample(tmp_path, per_iteration=1)] == ["self_play", "scripted"]
    plain, packed = jsonl.files(folder)
    plain.write_bytes(plain.read_bytes()[:-20])
    packed.write_bytes(packed.read_bytes()[:-12])
    assert len(sample(tmp_path)) == 2 + 2
    packed.write_bytes(b"\x1f\x8b" + b"?" * 40)
    with pytest.raises(UserError, match=r"000002\.jsonl\.gz cannot be read as episodes: it cannot be unpacked: "):
        sample(tmp_path)
    plain.write_text("{}\n")
    with pytest.raises(UserError, match=r"000001\.jsonl cannot be read as episodes: "):
        sample(tmp_path)


def test_messages_stand_one_beneath_another_and_decisions_side_by_side() -> None:
    said = (turn(1, "hello"), turn(0, "hi"), turn(1, "7"), turn(0, "3"))
    laid_out = rows(Round(said, (1.0, 2.0), {}))
    assert [[each.completion.text for each in row] for row in laid_out] == [["hello"], ["hi"], ["3", "7"]]
    assert len(rows(Round(said[:2], (1.0, 2.0), {}))) == 1


def test_whoever_answered_at_once_stands_side_by_side_in_every_phase() -> None:
    said = (turn(1, "give"), turn(0, "keep"), turn(0, "punish"), turn(1, "spare"))
    laid_out = rows(Round(said, (1.0, 2.0), {}, (2, 2)))
    assert [[each.completion.text for each in row] for row in laid_out] == [["keep", "give"], ["punish", "spare"]]
    assert len(rows(Round(said[:2], (1.0, 2.0), {}, (1, 1)))) == 2


def test_probability_is_that_of_the_cooperative_action() -> None:
    shown = episode(NOW, NOW)
    assert cooperation(shown, turn(0, "<A>", p=(0.25, 0.75))) == 0.25
    assert cooperation(shown, turn(0, "<A>")) is None


def test_terminal_transcript_tells_everything_and_reads_no_markup() -> None:
    first = Round((turn(0, "[bold]hm", "C", valid=False, p=(0.25, 0.75)), turn(1, "<B>", "D")), (0.0, 5.0), {})
    second = Round((turn(0, "<B>", "D"), turn(1, "<B>", "D")), (1.0, 1.0), {})
    text = text_of(episode(NOW, SCRIPT, rounds=(first, second)))
    for part in (
        "main@9",
        "tit_for_tat",
        "[bold]hm",
        "invalid, C played instead",
        "P(C) 0.25",
        "0 / 5",
        "1 / 6",
        "prompt 1",
        "0.50",
        "3.00",
    ):
        assert part in text


def test_no_answer_of_seven_players_is_cut_in_the_terminal() -> None:
    (shown,) = detente.play("public_goods", ["giver"] * 7, overrides=["game.players=7", "game.institutions=true", "game.rounds=1"])
    assert "…" not in text_of(shown, width=132)


def test_a_seat_is_named_by_its_role() -> None:
    (shown,) = detente.play("example_games:Trust", ["kind", "mean"], overrides=["game.rounds=1"])
    said = text_of(shown)
    assert "told to investor" in said
    assert "told to trustee" in said
    assert "kind as investor" in said
    assert "mean as trustee 6.00" in said
    assert page_data([("other", shown)])["episodes"][0]["seats"] == ["investor", "trustee"]
    assert Episode.from_json(shown.to_json()) == shown
    assert page_data([("other", episode(NOW, SCRIPT))])["episodes"][0]["seats"] == ["player 1", "player 2"]


def test_page_data_holds_the_rules_once_and_adds_up(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", iterations=6)
    data = page_data(sample(folder))
    assert len(data["rules"]) == 1
    recorded = read_episodes(folder / "episodes" / "000001.jsonl")[0]
    shown = data["episodes"][0]
    assert shown["policies"] == ["main@0", "main@0"]
    assert shown["rounds"][-1]["totals"] == [sum(recorded.rewards(0)), sum(recorded.rewards(1))]
    assert [row[0]["told"] == "" for row in (shown["rounds"][0]["rows"], shown["rounds"][1]["rows"]) for row in row] == [
        True,
        False,
    ]
