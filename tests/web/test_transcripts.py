"""Search, filters and paging against a plain walk through the same files."""

from __future__ import annotations

import gzip
import itertools
import re
import shutil
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
from starlette.testclient import TestClient

from detente import api, games, jsonl, web
from detente.errors import UserError
from detente.games.base import Observation
from detente.players.base import MemorylessPlayer
from detente.records import Completion, Episode, PolicyRef, read_episodes, write_episodes
from detente.rollout import Match, play_matches
from detente.web import episodes, transcripts
from detente.web.transcripts import Filters, matching_rounds, search, source
from tests.reports.make_run import HOSTILE

EVERYTHING = 10**9


def places(found: transcripts.Hits) -> list[tuple[int, int]]:
    return [hit.place for hit in found.hits]


def walk(files: tuple[Path, ...]) -> list[tuple[tuple[int, int], Episode]]:
    return [((i, line), one) for i, file in enumerate(files) for line, one in enumerate(read_episodes(file))]


@pytest.fixture(scope="module")
def run(folder: Path) -> tuple[Path, ...]:
    return source(folder.resolve(), "ipd/reinforce").files


@pytest.fixture(scope="module")
def split(folder: Path) -> tuple[Path, ...]:
    return source(folder.resolve(), "split").files


def test_without_filters_everything_is_found_in_order(run: tuple[Path, ...]) -> None:
    assert places(search(run, Filters(), limit=EVERYTHING)) == [place for place, _ in walk(run)]


def test_filters_find_what_a_walk_finds(run: tuple[Path, ...]) -> None:
    every = walk(run)
    invalid = [place for place, one in every if any(not turn.valid for turn in one.turns())]
    assert 0 < len(invalid) < len(every)
    assert places(search(run, Filters(invalid=True), limit=EVERYTHING)) == invalid
    sixth = [place for place, one in every if one.iteration == 6]
    assert places(search(run, Filters(iteration=6), limit=EVERYTHING)) == sixth
    scripted = [place for place, one in every if "always_defect" in map(str, one.policies)]
    assert places(search(run, Filters(kind="scripted"), limit=EVERYTHING)) == scripted
    kept = [
        place
        for place, one in every
        if {p.version for p in one.policies if p.kind == "adapter"} >= {one.iteration - 1, max(0, one.iteration - 11)}
    ]
    assert set(places(search(run, Filters(kind="kept"), limit=EVERYTHING))) <= set(kept)
    robbed = [place for place, one in every if any({t.action for t in played.turns} == {"C", "D"} for played in one.rounds)]
    assert places(search(run, Filters(exploited=True), limit=EVERYTHING)) == robbed


@pytest.mark.parametrize("words", [HOSTILE, HOSTILE.upper(), "onerror", "</SCRIPT>", "no such words", "a" * 300, '"', "\\", "<A>"])
def test_words_are_found_in_any_case(run: tuple[Path, ...], words: str) -> None:
    expected = [place for place, one in walk(run) if any(words.lower() in turn.completion.text.lower() for turn in one.turns())]
    found = search(run, Filters(text=words), limit=EVERYTHING, patience_s=60)
    assert places(found) == expected
    for hit in found.hits:
        assert hit.quote is not None
        assert hit.quote[1].lower() == words.lower()


def test_messages_are_searched_without_what_was_only_told(split: tuple[Path, ...]) -> None:
    expected = [
        place for place, one in walk(split) if any("rock" in str(turn.action) for turn in one.turns() if turn.phase == "message")
    ]
    assert places(search(split, Filters(text="ROCK"), limit=EVERYTHING, patience_s=60)) == expected
    assert places(search(split, Filters(text="The other player says"), limit=EVERYTHING, patience_s=60)) == []


def test_exploited_rounds_of_a_splitting_game_by_hand(tmp_path: Path) -> None:
    played = api.play("trust_and_split", ["greedy", "welfare"], episodes=3)
    for one in played:
        for found, round in zip(episodes.exploited(one), one.rounds, strict=True):
            upper = 0 if round.info["values"][0][0] > round.info["values"][1][0] else 1
            asks = {turn.player: turn.action["coins"] for turn in round.turns if turn.phase == "decision"}
            # In this game the upper hand values every coin more, so only it can be exploited, and asks do it no harm of its own.
            assert found == ([upper] if asks[1 - upper] > 5 else [])
    assert any(players == [1] for one in played for players in episodes.exploited(one))
    assert not any(players == [0] for one in played for players in episodes.exploited(one))


@dataclass
class Asks(MemorylessPlayer):
    """Always asks for the same number of coins."""

    coins: int
    policy: ClassVar[PolicyRef] = PolicyRef("script", "asks")

    async def act(self, observation: Observation) -> Completion:
        view = observation.view
        return Completion(view.message("") if observation.phase == "message" else view.ask([self.coins]), self.policy)


@pytest.mark.parametrize(("coins", "robs"), [(4, False), (5, False), (6, True), (10, True)])
def test_more_than_half_is_too_much(coins: int, robs: bool) -> None:
    (one,) = play_matches([Match(games.make("trust_and_split", rounds=30), 0, (Asks(coins), Asks(0)))])
    lower = [round.info["values"][0][0] < round.info["values"][1][0] for round in one.rounds]
    assert set(lower) == {True, False}
    assert episodes.exploited(one) == [[1] if robs and low else [] for low in lower]


def test_nobody_is_exploited_where_both_are_greedy_for_what_the_other_values(tmp_path: Path) -> None:
    both = api.play("split_no_comm", ["greedy", "greedy"], episodes=2)
    assert not any(itertools.chain(*(episodes.exploited(one) for one in both)))
    one_sided = api.play("split_no_comm", ["greedy", "welfare"], episodes=2)
    assert {player for one in one_sided for players in episodes.exploited(one) for player in players} == {1}
    pennies = api.play("matching_pennies", ["random", "random"])
    assert not any(itertools.chain(*(episodes.exploited(one) for one in pennies)))


def test_pages_join_to_everything_forwards_and_backwards(run: tuple[Path, ...]) -> None:
    for wanted in (Filters(), Filters(invalid=True), Filters(text="onerror")):
        expected = places(search(run, wanted, limit=EVERYTHING, patience_s=60))
        forwards, start = [], None
        while True:
            found = search(run, wanted, start, limit=3, patience_s=60)
            forwards += places(found)
            start = found.next
            if start is None:
                break
        assert forwards == expected
        backwards, start = [], None
        while True:
            found = search(run, wanted, start, back=True, limit=3, patience_s=60)
            backwards += places(found)
            start = found.next
            if start is None:
                break
        assert backwards == expected[::-1]


@pytest.mark.parametrize("back", [False, True])
def test_a_search_that_takes_too_long_says_where_it_goes_on(run: tuple[Path, ...], back: bool) -> None:
    ticks = itertools.count()
    found, parts, start = [], 0, None
    while True:
        part = search(run, Filters(invalid=True), start, back=back, limit=EVERYTHING, patience_s=1.0, clock=lambda: next(ticks))
        parts += 1
        found += places(part)
        start = part.next
        if start is None:
            break
    assert parts > 1
    assert sorted(found) == places(search(run, Filters(invalid=True), limit=EVERYTHING))


def test_a_long_run_is_read_one_file_at_a_time(tmp_path: Path, run: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "long"
    (folder / "episodes").mkdir(parents=True)
    (folder / "config.yaml").touch()
    lines = run[0].read_text().splitlines(keepends=True)
    for i in range(1, 301):
        (folder / "episodes" / f"{i:06d}.jsonl").write_text(lines[0])
    opened: list[str] = []
    reading = episodes._lines
    monkeypatch.setattr(episodes, "_lines", lambda path: opened.append(path.name) or reading(path))
    found = search(source(tmp_path.resolve(), "long").files, Filters(), limit=20)
    assert len(found.hits) == 20
    assert len(opened) == 21  # one more, to know that there is one
    search(source(tmp_path.resolve(), "long").files, Filters(iteration=250), limit=20)
    assert len(opened) == 22


def test_half_a_line_is_left_for_later(tmp_path: Path, run: tuple[Path, ...]) -> None:
    line = run[0].read_text().splitlines()[0]
    file = tmp_path / "a.jsonl"
    file.write_text(line + "\n" + line[:100])
    assert len(episodes.facts(file)) == 1
    file.write_text(line + "\n" + line + "\n")
    assert len(episodes.facts(file)) == 2
    assert episodes.episode(file, 1)[1] == Episode.from_json(line)


@pytest.mark.parametrize("content", ["{}\n", "[]\n", "nonsense\n", '{"iteration": 1}\n', "\xff\n"])
def test_a_file_of_something_else_is_a_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"^The file a.jsonl cannot be read as episodes\.$"):
        episodes.facts(file)


@pytest.fixture
def packed(tmp_path: Path, folder: Path) -> Path:
    """The run with its files compressed, but for the first one: an old run that was resumed."""
    copy = Path(shutil.copytree(folder / "ipd" / "reinforce", tmp_path.resolve() / "mine"))
    for path in sorted((copy / "episodes").iterdir())[1:]:
        path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return copy


FILTERS = (Filters(), Filters(text=HOSTILE), Filters(text="no such words"), Filters(iteration=6), Filters(invalid=True))


@pytest.mark.parametrize("wanted", FILTERS)
@pytest.mark.parametrize("back", [False, True])
def test_compressed_files_are_searched_like_plain_ones(packed: Path, run: tuple[Path, ...], wanted: Filters, back: bool) -> None:
    files = source(packed.parent, "mine").files
    assert {path.suffix for path in files} == {".jsonl", ".gz"}
    found, same = (search(each, wanted, back=back, limit=EVERYTHING, patience_s=60) for each in (files, run))
    assert found == same
    for hit in found.hits:
        i, line = hit.place
        assert episodes.episode(files[i], line) == episodes.episode(run[i], line)


def test_pages_of_compressed_files(packed: Path) -> None:
    with TestClient(web.build(packed.parent), base_url="http://localhost") as client:
        page = client.get("/transcripts", params={"in": "mine"}).text
        links = [link.replace("&amp;", "&") for link in re.findall(r'href="(/episode[^"]*)"', page)]
        assert any(".jsonl.gz&" in link for link in links)
        assert {client.get(link).status_code for link in links} == {200}
        for wrong in ("mine/episodes", "mine/config.yaml.gz", "mine/episodes/000099.jsonl.gz"):
            assert client.get("/episode", params={"file": wrong, "n": "0"}).status_code == 404


def test_a_compressed_file_that_is_being_written_is_read_as_far_as_it_goes(packed: Path) -> None:
    file = jsonl.files(packed / "episodes")[1]
    whole = file.read_bytes()
    every = episodes.facts(file)
    for end in (10, 400, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:end])
        text = zlib.decompressobj(wbits=31).decompress(whole[:end])
        lines = text.count(b"\n")
        if lines:  # until there are all of them, one may be of another kind
            assert [replace(fact, kind="") for fact in episodes.facts(file)] == [replace(fact, kind="") for fact in every[:lines]]
            assert episodes.episode(file, lines - 1)[1].index == lines - 1


@pytest.mark.parametrize("damage", [lambda whole: whole[:60] + b"??" + whole[62:], lambda whole: b"\x1f\x8b" + b"?" * 50])
def test_a_compressed_file_that_is_damaged_is_a_sentence(packed: Path, damage: Callable[[bytes], bytes]) -> None:
    file = jsonl.files(packed / "episodes")[1]
    file.write_bytes(damage(file.read_bytes()))
    with TestClient(web.build(packed.parent), base_url="http://localhost") as client:
        for asked in ({"in": "mine"}, {"in": "mine", "text": "A"}):
            answer = client.get("/transcripts", params=asked)
            assert answer.status_code == 422
            assert f"The file {file.name} cannot be read as episodes." in answer.text


@pytest.mark.parametrize("line", [b"0" * 999 + b"\n", b"0" * 10_000_000, None], ids=["many lines", "one line", "episodes"])
def test_a_small_file_that_unpacks_to_a_large_one_fills_no_memory(
    packed: Path, line: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = jsonl.files(packed / "episodes")[1]
    line = line or jsonl.opened(file).readline()
    with gzip.open(file, "wb") as out:
        for _ in range(50_000_000 // len(line)):
            out.write(line)
    assert file.stat().st_size < 1_000_000
    for module in (episodes, transcripts):
        monkeypatch.setattr(module, "MOST", 1 << 22)
    tracemalloc.start()
    with TestClient(web.build(packed.parent), base_url="http://localhost") as client:
        for asked in ({"in": "mine"}, {"in": "mine", "text": "00000"}):
            answer = client.get("/transcripts", params=asked)
            assert answer.status_code == 422
            assert f"The file {file.name} cannot be" in answer.text
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 40_000_000


def test_rounds_that_were_searched_for_are_marked(run: tuple[Path, ...]) -> None:
    one = next(one for _, one in walk(run) if any(not turn.valid for turn in one.turns()))
    invalid = [any(not turn.valid for turn in played.turns) for played in one.rounds]
    assert matching_rounds(one, Filters(invalid=True)) == invalid
    assert matching_rounds(one, Filters(text=HOSTILE)) == invalid
    assert matching_rounds(one, Filters()) == [False] * len(one.rounds)


def follow(client: TestClient, address: str, rel: str) -> list[str]:
    """The addresses of the episodes on this page and on all that its links lead to."""
    found: list[str] = []
    while address:
        page = client.get(address).text
        found += re.findall(r'<li><a href="(/episode[^"]*)"', page)
        link = re.search(rf'rel="{rel}" href="([^"]*)"', page)
        address = link[1].replace("&amp;", "&") if link else ""
    return found


def test_links_lead_through_all_pages_and_back(client: TestClient, run: tuple[Path, ...]) -> None:
    found = follow(client, "/transcripts?in=ipd/reinforce", "next")
    assert len(found) == len(set(found)) == len(walk(run)) > transcripts.PAGE
    last = f"/transcripts?in=ipd/reinforce&from={len(run) - 1}.4"
    assert len(follow(client, last, "prev")) == len(walk(run))


def test_an_episode_leads_to_its_neighbours_in_the_search(client: TestClient, run: tuple[Path, ...]) -> None:
    listed = follow(client, "/transcripts?in=ipd/reinforce&invalid=1", "next")
    address, seen = listed[0].replace("&amp;", "&"), []
    while address:
        seen.append(address)
        page = client.get(address).text
        link = re.search(r'rel="next" href="([^"]*)"', page)
        address = link[1].replace("&amp;", "&") if link else ""
    assert [each.replace("&", "&amp;") for each in seen] == listed


def test_saved_games_and_files_have_lists_of_their_own(tmp_path: Path) -> None:
    played = api.play("ipd", ["tit_for_tat", "random"], episodes=2)
    write_episodes(tmp_path / "played" / "a.jsonl", played[:1])
    write_episodes(tmp_path / "played" / "b.jsonl", played[1:])
    root = tmp_path.resolve()
    assert len(search(source(root, "played").files, Filters()).hits) == 2
    assert len(search(source(root, "played/a.jsonl").files, Filters()).hits) == 1
