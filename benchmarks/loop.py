"""The loop without a model: games, players and records with an engine that answers at once.

FakeEngine ── play_matches ──> episodes per CPU-second, bytes per episode in memory ── RunFolder.write ──> and on disk
"""

from __future__ import annotations

import shutil
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.common import isolated, say, spread
from benchmarks.tables import Table, between, show, size

GAMES = ("ipd", "trust_and_split")


def loop(
    game: Annotated[list[str], typer.Option(help="Games by name.")] = list(GAMES),  # noqa: B006
    episodes: Annotated[int, typer.Option(help="Episodes played at once.")] = 256,
    rounds: Annotated[int, typer.Option(help="Rounds of each.")] = 10,
    repeats: Annotated[int, typer.Option(help="How often each is timed.")] = 5,
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """Episodes per CPU-second without a model, and how large they are."""
    rows = []
    for name in game:
        say(f"loop, {name}: {episodes} episodes of {rounds} rounds")
        rows.append(isolated(measured, name, episodes, rounds, repeats))
    show(common.save("loop", "cpu", {"rows": rows}, json, 1))


def answer(request: Any) -> str:
    """What a policy would say that needs no time to think; the first choice, or a short text of the pattern's form."""
    if request.choices:
        return str(request.choices[0])
    if "message" in request.pattern:
        return "<<message_start>> My hand is rock. <<message_end>>"
    return "<<proposal_start>> 5 <<proposal_end>>"


def play(game: Any, episodes: int) -> list[Any]:
    """Episodes between two language models whose engine has none."""
    from detente.engines.base import FakeEngine
    from detente.players.chat import FakeChat
    from detente.players.llm import LLMPlayer
    from detente.records import PolicyRef
    from detente.rollout import Match, play_matches

    engine, policy = FakeEngine(answer), PolicyRef("adapter", "main", 1)
    return play_matches([
        Match(
            game,
            index // 8,
            [LLMPlayer(engine, FakeChat(), policy, f"{index}/{seat}", 2 * index + seat) for seat in range(2)],
            ("main", "main"),
            1,
            index // 8,
            index,
        )
        for index in range(episodes)
    ])  # fmt: skip


def measured(name: str, episodes: int, rounds: int, repeats: int) -> dict[str, Any]:
    """Playing alone, and playing and writing, in turn; then the size of what was played."""
    from detente import games
    from detente.learning.run_folder import RunFolder

    game = games.make(name, rounds=rounds)
    speeds: dict[str, list[float]] = {"played": [], "written": []}
    folder = Path(tempfile.mkdtemp(prefix="detente-benchmark-"))
    try:
        play(game, 8)
        for repeat in range(repeats):
            start = time.process_time()
            play(game, episodes)
            speeds["played"].append(episodes / (time.process_time() - start))
            start = time.process_time()
            RunFolder(folder).write(repeat + 1, {"iteration": repeat + 1}, play(game, episodes))
            speeds["written"].append(episodes / (time.process_time() - start))
        on_disk = sum(file.stat().st_size for file in (folder / "episodes").rglob("*") if file.is_file())
    finally:
        shutil.rmtree(folder)
    (first, *_) = played = play(game, 8)
    assert all(turn.valid for episode in played for turn in episode.turns()), first
    return {
        "game": name,
        "episodes": episodes,
        "rounds": rounds,
        "turns": sum(1 for _ in first.turns()),
        "per_cpu_s": {what: spread(found) for what, found in speeds.items()},
        "bytes_in_memory": in_memory(game, min(episodes, 64)),
        "bytes_on_disk": on_disk / (repeats * episodes),
    }


def in_memory(game: Any, episodes: int) -> float:
    """Bytes that stay allocated per episode that is kept."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        played = play(game, episodes)
        return (tracemalloc.get_traced_memory()[0] - before) / len(played)
    finally:
        tracemalloc.stop()


def tables(figures: dict[str, Any]) -> list[Table]:
    """Speed and size."""
    rows = [
        [
            f"{row['game']}, {row['rounds']} rounds, {row['turns']} answers",
            between(row["per_cpu_s"]["written"]),
            between(row["per_cpu_s"]["played"]),
            size(row["bytes_in_memory"]),
            size(row["bytes_on_disk"]),
        ]
        for row in figures["rows"]
    ]
    columns = ["game", "episodes per CPU-second, records written", "played alone", "an episode in memory", "on disk"]
    return [Table("The loop without a model, median (least to greatest)", columns, rows)]
