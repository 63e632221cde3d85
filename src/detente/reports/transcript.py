"""Episodes for people: which ones to show, and how a round is laid out, in the terminal and as data for the page.

Must not import torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from detente import jsonl
from detente.errors import UserError
from detente.games import family_of, recorded
from detente.games.reading import Notes
from detente.games.roles import in_role
from detente.games.sides import carried_out
from detente.records import UNREADABLE, Episode, PolicyRef, Round, Turn
from detente.visible import visible

KINDS = {
    "self_play": "self-play",
    "kept": "against a kept checkpoint",
    "scripted": "against a script",
    "other": "against another policy",
}


WORD = {True: (" ✓ true", "green"), False: (" ✗ not true", "red"), None: (" no claim", "dim")}  # of a message
LONGEST = 2000  # characters of one answer on the page


def sample(run: Path, iterations: int = 8, per_iteration: int = 4) -> list[tuple[str, Episode]]:
    """A few (kind, episode) of a run: ``per_iteration`` of every kind in turn, for ``iterations`` spread evenly over the run."""
    files = jsonl.files(run / "episodes")
    chosen = dict.fromkeys(round(i * (len(files) - 1) / max(1, iterations - 1)) for i in range(iterations)) if files else {}
    return [pick for i in chosen for pick in _in_turn(finished(files[i]), per_iteration)]


def finished(path: Path) -> list[Episode]:
    """The episodes of a file that may be written at the moment, or was cut short; UserError where it is damaged."""
    try:
        return [Episode.from_json(line) for line in jsonl.lines(path) if line.endswith(b"\n") and line.strip()]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as episodes: {' '.join(str(error).split()).rstrip('.')}.") from error


def kinds(episodes: Sequence[Episode]) -> list[str]:
    """For each episode of an iteration a key of ``KINDS``: which opponents the learners met.

    Learners that met only the present versions of each other are in self-play; an older version of a learner is a kept checkpoint.
    """
    trained = {policy for e in episodes for policy, learner in zip(e.policies, e.learners, strict=True) if learner is not None}
    newest = {policy.name: max(p.version for p in trained if p.name == policy.name) for policy in trained}

    def kind_of(policy: PolicyRef) -> str:
        if policy.kind == "script":
            return "scripted"
        if policy.kind == "adapter" and policy.name in newest:
            return "self_play" if policy.version >= newest[policy.name] else "kept"
        return "other"

    opponents = [{kind_of(policy) for policy in e.policies} - {"self_play"} for e in episodes]
    return [min(met, key=list(KINDS).index) if met else "self_play" for met in opponents]


def rows(played: Round) -> list[list[Turn]]:
    """The turns of a round as they are shown: a row per step, turns of the same step side by side."""
    return [sorted(step, key=lambda turn: turn.player) for step in played.by_step()]


def cooperation(episode: Episode, turn: Turn) -> float | None:
    """A model's own probability of the cooperative action at this turn, where the game has one and the model gave it."""
    if turn.completion.policy.kind == "script":
        return None  # its moves say as much
    actions, cooperative = episode.game.get("actions", ()), episode.game.get("cooperative")
    probabilities = turn.completion.probabilities
    if cooperative not in actions or len(probabilities) != len(actions):
        return None
    return probabilities[list(actions).index(cooperative)]


def opening(episode: Episode, player: int) -> str:
    """The rules as the player read them."""
    game = recorded(episode.game)
    return family_of(game).rules(game) or next((turn.prompt for turn in episode.turns(player)), "")


def notes(episode: Episode, played: Round) -> Notes | None:
    """What the game shows a reader of a round beyond the answers, if anything."""
    game = recorded(episode.game)
    return family_of(game).notes(game, played)


def news(episode: Episode, turn: Turn) -> str:
    """What the player read before it answered, without the rules."""
    return turn.prompt.removeprefix(opening(episode, turn.player)).strip()


def action_text(turn: Turn) -> str:
    """The action in words: labels and messages as they are, asks as ``7 coins``, everything else as JSON."""
    if isinstance(turn.action, dict):
        return ", ".join(f"{units} {item}" for item, units in turn.action.items())
    return (turn.action or "(nothing)") if isinstance(turn.action, str) else json.dumps(turn.action, ensure_ascii=False)


def outcome_text(played: Round, turn: Turn) -> str:
    """The action in words, and what was played where chance replaced it."""
    done = carried_out(played, turn)
    return action_text(turn) if done == turn.action else f"{action_text(turn)}, by chance {action_text(replace(turn, action=done))}"


def answer_text(turn: Turn) -> str:
    """What the player answered; of a valid message or ask without the tags."""
    if turn.valid and isinstance(turn.action, dict):
        return f"asks {action_text(turn)}"
    return action_text(turn) if turn.valid and turn.phase == "message" else turn.completion.text


def page_data(picks: Iterable[tuple[str, Episode]], longest: int | None = LONGEST) -> dict[str, Any]:
    """The episodes as plain values for the browser: {"kinds", "rules", "episodes"}; the rules are stored once.

    Texts longer than ``longest`` characters are cut (None: none is).
    """
    texts: dict[str, int] = {}
    try:
        episodes = [_episode_data(kind, episode, texts, longest) for kind, episode in picks]
    except UNREADABLE as error:
        raise UserError(
            f"An episode cannot be shown: what it records does not fit its game ({type(error).__name__} {error})."
        ) from error
    apart = any(episode["kind"] == "self_play" and len({*episode["policies"]}) > 1 for episode in episodes)
    kinds = KINDS | ({"self_play": "with each other"} if apart else {})
    return {"kinds": kinds, "rules": list(texts), "episodes": episodes}


def fitting(run: Path, room: int) -> dict[str, Any]:
    """``page_data`` of a sample of the run: of 4, 2 or 1 episodes per iteration, as many as ``room`` characters of JSON hold."""
    for per_iteration in (4, 2, 1):
        data = page_data(sample(run, per_iteration=per_iteration))
        if len(json.dumps(data)) <= room:
            break
    return data


def render_text(episode: Episode) -> RenderableType:
    """A transcript for the terminal: the rules, the policy of every seat, and each round's answers, points and running totals."""
    players = range(episode.num_players)
    texts = [opening(episode, player) for player in players]
    panels = [
        Panel(Text(text), title=Text(f"told to {_readers(episode, texts, text)}"), title_align="left")
        for text in dict.fromkeys(texts)
    ]
    table = Table(title=Text(f"{episode.game.get('name', 'game')}, seed {episode.seed}"), title_justify="left", show_lines=True)
    table.add_column("round", justify="right", no_wrap=True)
    names = [
        in_role(str(policy), role) for policy, role in zip(episode.policies, episode.roles or ("",) * len(players), strict=True)
    ]
    for name in names:
        table.add_column(Text(name), overflow="fold")
    table.add_column("points", justify="right")
    table.add_column("total", justify="right")
    totals = [0.0] * episode.num_players
    for number, played in enumerate(episode.rounds, 1):
        totals = [total + reward for total, reward in zip(totals, played.rewards, strict=True)]
        held = notes(episode, played)
        lines = [[_answers(episode, played, held, row, player) for player in players] for row in rows(played)]
        topics = [row[0].topic for row in rows(played)]
        if held is not None and held.held:
            lines.insert(0, [Text(text, style="dim") for text in held.held])
            topics.insert(0, "")
        for place, cells in enumerate(lines):
            sums = map(_points, (played.rewards, totals)) if place == len(lines) - 1 else ()
            head = "\n".join(filter(None, (str(number) if place == 0 else "", topics[place])))
            table.add_row(Text(head), *cells, *sums)
    means = Text("mean points per round: " + ", ".join(f"{name} {episode.mean_reward(i):.2f}" for i, name in enumerate(names)))
    return Group(*panels, table, means)


def _readers(episode: Episode, texts: Sequence[str], text: str) -> str:
    """Who was told the text: everyone, or players by name."""
    names = [episode.seat(player) for player, own in enumerate(texts) if own == text]
    return "everyone" if len(names) == len(texts) else ", ".join(names)


def _answers(episode: Episode, played: Round, held: Notes | None, row: Sequence[Turn], player: int) -> Text:
    return Text("\n").join(_answer(episode, played, held, turn) for turn in row if turn.player == player)


def _answer(episode: Episode, played: Round, held: Notes | None, turn: Turn) -> Text:
    before = news(episode, turn) if held is None else ""  # else the first line of the round shows it
    text = Text().append(f"{before}\n" if before else "", style="dim")
    text.append(answer_text(turn), style="bold")
    if not turn.valid:
        text.append(f" invalid, {outcome_text(played, turn)} played instead", style="red")
    elif held is None:
        text.append(f" → {outcome_text(played, turn)}", style="green" if turn.action == episode.game.get("cooperative") else "")
    elif turn.phase == "decision":
        text.append(f" → gets {held.received[turn.player]}" if held.received else "")
    elif held.honest is not None:
        text.append(*WORD[held.honest(turn)])
    probability = cooperation(episode, turn)
    if probability is not None:
        text.append(f"  P({episode.game['cooperative']}) {probability:.2f}", style="dim")
    return text


def _points(values: Sequence[float]) -> str:
    return " / ".join(f"{round(value, 1):g}" for value in values)


def _in_turn(episodes: Sequence[Episode], limit: int) -> list[tuple[str, Episode]]:
    """At most ``limit`` episodes, taking one of every kind before a second of any."""
    waiting = {name: [e for kind, e in zip(kinds(episodes), episodes, strict=True) if kind == name] for name in KINDS}
    ranked = [(place, name, episode) for name, of_kind in waiting.items() for place, episode in enumerate(of_kind[:limit])]
    return [(name, episode) for _, name, episode in sorted(ranked, key=lambda item: item[0])[:limit]]


def _episode_data(kind: str, episode: Episode, texts: dict[str, int], longest: int | None) -> dict[str, Any]:
    rules = dict.fromkeys(opening(episode, player) for player in range(episode.num_players))
    totals = [0.0] * episode.num_players
    rounds = []
    for played in episode.rounds:
        totals = [total + reward for total, reward in zip(totals, played.rewards, strict=True)]
        held = notes(episode, played)
        lines = [[_turn_data(episode, played, held, turn, longest) for turn in row] for row in rows(played)]
        facts = {} if held is None else {"stock": held.stock, "held": held.held}
        rounds.append(
            {
                "rows": lines,
                "rewards": [float(reward) for reward in played.rewards],
                "totals": [round(total, 6) for total in totals],
                **facts,
            }
        )
    return {
        "kind": kind,
        "iteration": str(episode.iteration),  # as text, like each of these: a browser rounds numbers beyond 2^53
        "group": str(episode.group),
        "index": str(episode.index),
        "cooperative": cooperative if isinstance(cooperative := episode.game.get("cooperative"), str) else None,
        "seed": str(episode.seed),
        "policies": [str(policy) for policy in episode.policies],
        "seats": [episode.seat(player) for player in range(episode.num_players)],
        "learners": episode.learners,
        "rules": [texts.setdefault(text, len(texts)) for text in rules],
        "rounds": rounds,
    }


def _turn_data(episode: Episode, played: Round, held: Notes | None, turn: Turn, longest: int | None) -> dict[str, Any]:
    probability = cooperation(episode, turn)
    facts: dict[str, Any] = {}
    if held is not None and turn.phase == "decision":
        facts = {"received": held.received[turn.player]} if held.received else {}
    elif held is not None and held.honest is not None:
        facts = {"honest": held.honest(turn)}
    return {
        "player": turn.player,
        "topic": turn.topic,
        "told": _clipped(news(episode, turn), longest),
        "answer": _clipped(answer_text(turn), longest),
        "action": outcome_text(played, turn) if held is None or not turn.valid else "",
        "cooperates": turn.action == episode.game["cooperative"] if episode.game.get("cooperative") else None,
        "p": None if probability is None else round(probability, 4),
        "valid": turn.valid,
        **facts,
    }


def _clipped(text: str, longest: int | None) -> str:
    text = visible(text)
    return text if longest is None or len(text) <= longest else f"{text[:longest]} …"
