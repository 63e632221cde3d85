"""Episodes for people: which ones to show, and how a round is laid out, in the terminal and as data for the page.

Standard library and rich only; must not import torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from detente.records import Episode, PolicyRef, Round, Turn, read_episodes

KINDS = {
    "self_play": "self-play",
    "kept": "against a kept checkpoint",
    "scripted": "against a script",
    "other": "against another policy",
}


def sample(run: Path, iterations: int = 8, each: int = 4) -> list[tuple[str, Episode]]:
    """A few (kind, episode) of a run: ``each`` per recorded iteration, of every kind in turn, for iterations spread evenly."""
    files = sorted((run / "episodes").glob("*.jsonl"))
    chosen = dict.fromkeys(round(i * (len(files) - 1) / max(1, iterations - 1)) for i in range(iterations)) if files else {}
    return [pick for i in chosen for pick in _in_turn(read_episodes(files[i]), each)]


def kinds(episodes: Sequence[Episode]) -> list[str]:
    """For each episode of one iteration whom the learners met: a key of ``KINDS``.

    Learners that met only each other's present selves are in self-play; an older version of a learner is a kept checkpoint.
    """
    trained = {policy for e in episodes for policy, learner in zip(e.policies, e.learners, strict=True) if learner is not None}
    newest = {policy.name: max(p.version for p in trained if p.name == policy.name) for policy in trained}

    def kind(policy: PolicyRef) -> str:
        if policy.kind == "script":
            return "scripted"
        if policy.kind == "adapter" and policy.name in newest:
            return "self_play" if policy.version >= newest[policy.name] else "kept"
        return "other"

    found = [{kind(policy) for policy in e.policies} - {"self_play"} for e in episodes]
    return [min(each, key=list(KINDS).index) if each else "self_play" for each in found]


def rows(played: Round) -> list[list[Turn]]:
    """The turns of a round as they are read: messages one beneath another, then the final decisions side by side."""
    players = len(played.rewards)
    split = max(0, len(played.turns) - players)
    last = played.turns[split:]
    if len({turn.player for turn in last}) < len(last):
        return [[turn] for turn in played.turns]
    return [*([turn] for turn in played.turns[:split]), sorted(last, key=lambda turn: turn.player)]


def cooperation(episode: Episode, turn: Turn) -> float | None:
    """The policy's own probability of the cooperative action at this turn, where the game has one and the policy gave it."""
    actions, cooperative = episode.game.get("actions", ()), episode.game.get("cooperative")
    probabilities = turn.completion.probabilities
    if cooperative not in actions or len(probabilities) != len(actions):
        return None
    return probabilities[list(actions).index(cooperative)]


def action_text(turn: Turn) -> str:
    """The action in words: strings as they are, everything else as JSON."""
    return turn.action if isinstance(turn.action, str) else json.dumps(turn.action, ensure_ascii=False)


def page_data(picks: Iterable[tuple[str, Episode]]) -> dict[str, Any]:
    """The sampled episodes as plain values for the browser: {"kinds", "rules", "episodes"}; the rules are stored once."""
    rules: dict[str, int] = {}
    episodes = [_episode_data(kind, episode, rules) for kind, episode in picks]
    return {"kinds": KINDS, "rules": list(rules), "episodes": episodes}


def render_text(episode: Episode) -> RenderableType:
    """A transcript for the terminal: who sat where, the rules once, then each round's answers, points and running totals."""
    players = range(episode.num_players)
    opening = [next((turn.prompt for turn in episode.turns(player)), "") for player in players]
    panels = [
        Panel(
            Text(text), title="told to everyone" if len(set(opening)) == 1 else f"told to player {player + 1}", title_align="left"
        )
        for player, text in enumerate(dict.fromkeys(opening))
    ]
    table = Table(title=Text(f"{episode.game.get('name', 'game')}, seed {episode.seed}"), title_justify="left", show_lines=True)
    table.add_column("round", justify="right")
    for policy in episode.policies:
        table.add_column(Text(str(policy)))
    table.add_column("points", justify="right")
    table.add_column("total", justify="right")
    totals = [0.0] * episode.num_players
    for number, played in enumerate(episode.rounds, 1):
        totals = [total + reward for total, reward in zip(totals, played.rewards, strict=True)]
        laid_out = rows(played)
        for row in laid_out:
            cells = [Text("\n").join(_answer(episode, turn, number) for turn in row if turn.player == player) for player in players]
            last = row is laid_out[-1]
            table.add_row(
                str(number) if row is laid_out[0] else "", *cells, *(map(_points, (played.rewards, totals)) if last else ())
            )
    means = Text("mean points per round: " + ", ".join(f"{p} {episode.mean_reward(i):.2f}" for i, p in enumerate(episode.policies)))
    return Group(*panels, table, means)


def _answer(episode: Episode, turn: Turn, number: int) -> Text:
    text = Text(f"{turn.prompt}\n", style="dim") if number > 1 and turn.prompt else Text()
    text.append(turn.completion.text, style="bold")
    if turn.valid:
        text.append(f" → {action_text(turn)}", style="green" if turn.action == episode.game.get("cooperative") else "")
    else:
        text.append(f" invalid, {action_text(turn)} played instead", style="red")
    probability = cooperation(episode, turn)
    if probability is not None:
        text.append(f"  P({episode.game['cooperative']}) {probability:.2f}", style="dim")
    return text


def _points(values: Sequence[float]) -> str:
    return " / ".join(f"{value:g}" for value in values)


def _in_turn(episodes: Sequence[Episode], each: int) -> list[tuple[str, Episode]]:
    """At most ``each`` episodes, taking one of every kind before a second of any."""
    waiting = {name: [e for kind, e in zip(kinds(episodes), episodes, strict=True) if kind == name] for name in KINDS}
    ranked = [(place, name, episode) for name, found in waiting.items() for place, episode in enumerate(found[:each])]
    return [(name, episode) for _, name, episode in sorted(ranked, key=lambda item: item[0])[:each]]


def _episode_data(kind: str, episode: Episode, rules: dict[str, int]) -> dict[str, Any]:
    opening = [next((turn.prompt for turn in episode.turns(player)), "") for player in range(episode.num_players)]
    totals = [0.0] * episode.num_players
    rounds = []
    for number, played in enumerate(episode.rounds):
        totals = [total + reward for total, reward in zip(totals, played.rewards, strict=True)]
        lines = [[_turn_data(episode, turn, told=number > 0) for turn in row] for row in rows(played)]
        rounds.append({"rows": lines, "rewards": played.rewards, "totals": [round(total, 6) for total in totals]})
    return {
        "kind": kind,
        "iteration": episode.iteration,
        "group": episode.group,
        "index": episode.index,
        "cooperative": episode.game.get("cooperative"),
        "seed": episode.seed,
        "policies": [str(policy) for policy in episode.policies],
        "learners": episode.learners,
        "rules": [rules.setdefault(text, len(rules)) for text in dict.fromkeys(opening)],
        "rounds": rounds,
    }


def _turn_data(episode: Episode, turn: Turn, told: bool) -> dict[str, Any]:
    probability = cooperation(episode, turn)
    return {
        "player": turn.player,
        "told": turn.prompt if told else "",
        "answer": turn.completion.text,
        "action": action_text(turn),
        "cooperates": turn.action == episode.game["cooperative"] if episode.game.get("cooperative") else None,
        "p": None if probability is None else round(probability, 4),
        "valid": turn.valid,
    }
