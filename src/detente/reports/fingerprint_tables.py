"""Fingerprints as tables, several agents side by side: of the page with shades, of the terminal without.

    fingerprint.json ──> tables ──> grids

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table as Grid
from rich.text import Text

from detente.errors import counted
from detente.family_file import Description

CLAIMS = {
    "upper": "told that one's own value is the higher one",
    "lower": "told that it is the lower one",
    "nothing": "told nothing usable",
}

EXTREMES = {
    "value": "best response gets",
    "agent_value": "and leaves the agent",
    "gain": "its gain over cooperating",
    "loss": "the agent's loss",
    "floor": "floor",
    "floor_opponent": "the opponent has then",
}

SHARE = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers, one row per agent. ``bounds`` of each column, by which the page shades it; None: it does not."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    bounds: tuple[Sequence[float] | None, ...]

    def shade(self, column: int, value: float | None) -> float | None:
        """The position of a value between the bounds of its column, from 0 to 1; None for no shade."""
        bounds = self.bounds[column]
        if value is None or bounds is None or bounds[0] >= bounds[1]:
            return None
        return min(1.0, max(0.0, (value - bounds[0]) / (bounds[1] - bounds[0])))


def tables(fingerprint: Mapping[str, Any], known: Description = Description()) -> list[Table]:  # noqa: B008 (frozen)
    """Memory one and two in matrix games, shares asked for by claim in splitting games, the measures of other games.

    ``known`` says between which bounds measures lie.
    """
    agents = fingerprint["agents"]
    if "measures" in agents[0]:
        rewards = fingerprint.get("reward_bounds")
        return [_measured(agents, name, keys, known, rewards) for name, keys in _by_table(agents).items()]
    if "memory_one" in agents[0]:
        one, two = given_tables(agents)
        return [_with_invalid(one, agents), two, *_extremes(agents)]
    conditions = [(claim, greedy) for claim in CLAIMS for greedy in (False, True) if met(agents, claim)]
    heads = tuple(f"{claim}, other {'greedy' if greedy else 'fair'}" for claim, greedy in conditions)
    rows = tuple((agent["label"], tuple(_mean(agent, claim, greedy) for claim, greedy in conditions)) for agent in agents)
    return [_shares("Share asked for, by what was told and by the other's last ask", heads, rows)]


def _shares(title: str, heads: tuple[str, ...], rows: tuple[tuple[str, tuple[float | None, ...]], ...]) -> Table:
    """Numbers from 0 to 1."""
    return Table(title, heads, rows, (SHARE,) * len(heads))


def given_tables(agents: Sequence[Mapping[str, Any]]) -> list[Table]:
    """P(cooperate) after one joint move, and after two."""
    titles = {"memory_one": "P(cooperate | last joint move)", "memory_two": "P(cooperate | last two joint moves)"}
    return [
        _shares(title, tuple(agents[0][key]), tuple((agent["label"], tuple(agent[key].values())) for agent in agents))
        for key, title in titles.items()
    ]


def _with_invalid(table: Table, agents: Sequence[Mapping[str, Any]]) -> Table:
    """The table with the share of invalid answers at its end, where any are."""
    shares = [agent.get("invalid") for agent in agents]
    if not any(shares):
        return table
    rows = tuple((label, (*values, share)) for (label, values), share in zip(table.rows, shares, strict=True))
    return Table(table.title, (*table.heads, "invalid"), rows, (*table.bounds, SHARE))


def _extremes(agents: Sequence[Mapping[str, Any]]) -> list[Table]:
    """What can be gained against each agent and how little it can be left, of those where this could be computed."""
    lengths = {(exact["rounds"], exact["expected_rounds"]) for agent in agents if (exact := agent.get("exact"))}
    if not lengths:
        return []
    rows = tuple((agent["label"], tuple(_middle(agent.get("exact") or {}, key) for key in EXTREMES)) for agent in agents)
    most = max(rounds for rounds, _ in lengths)
    often = counted(most, "round") if all(rounds == mean for rounds, mean in lengths) else f"at most {counted(most, 'round')}"
    return [Table(f"Exact best response and floor, points over {often}", tuple(EXTREMES.values()), rows, (None,) * len(EXTREMES))]


def _middle(exact: Mapping[str, Any], key: str) -> float | None:
    """The middle of bounds, or a number that is there as it is; None where there is none."""
    value = exact.get(key)
    return sum(value) / len(value) if isinstance(value, list) else value


def _by_table(agents: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The measures of each table under its name, and all other measures under ""."""
    keys = dict.fromkeys(key for agent in agents for key, value in agent["measures"].items() if value is not None)
    grouped: dict[str, list[str]] = {}
    for key in keys:
        grouped.setdefault(key.rpartition("/")[0], []).append(key)
    return grouped


def _measured(
    agents: Sequence[Mapping[str, Any]], name: str, keys: Sequence[str], known: Description, rewards: Sequence[float] | None
) -> Table:
    title = f"{name.replace('_', ' ').capitalize()}, against players at random" if name else "Against players at random"
    heads = tuple(key.rpartition("/")[2].replace("_", " ") for key in keys)
    rows = tuple((agent["label"], tuple(agent["measures"].get(key) for key in keys)) for agent in agents)
    return Table(title, heads, rows, tuple(_bounds(key, known, rewards) for key in keys))


def _bounds(key: str, known: Description, rewards: Sequence[float] | None) -> Sequence[float] | None:
    """Between what a measure lies, or a cell of a table; None where that is not known."""
    if key in ("reward", "invalid"):  # of every game
        return rewards if key == "reward" else SHARE
    measure = known.measure(key.partition("/")[0])
    return None if measure is None else measure.bounds


def met(agents: Sequence[Mapping[str, Any]], claim: str) -> bool:
    """Whether any agent met the claim."""
    return any(response["told"] == claim for agent in agents for response in agent["responses"])


def after_asks(agent: Mapping[str, Any], claim: str) -> list[Mapping[str, Any]]:
    """The responses to a claim after the other has asked for a share."""
    return [response for response in agent["responses"] if response["told"] == claim and response["last"] is not None]


def _mean(agent: Mapping[str, Any], claim: str, greedy: bool) -> float | None:
    """The mean share over the asks after a greedy, or a fair, ask of the other."""
    responses = [response for response in after_asks(agent, claim) if (response["last"] > 0.5) == greedy]
    asks = sum(response["asks"] for response in responses)
    return sum(response["share"]["mean"] * response["asks"] for response in responses) / asks if asks else None


def grids(fingerprint: Mapping[str, Any]) -> list[Grid]:
    """The tables for the terminal."""
    drawn = []
    for table in tables(fingerprint):
        grid = Grid(title=table.title, title_justify="left")
        grid.add_column("")
        for head in table.heads:
            grid.add_column(head.replace(" ", "\n"), justify="right")
        for label, values in table.rows:
            grid.add_row(Text(label, style="bold"), *("–" if value is None else f"{value:.2f}" for value in values))
        drawn.append(grid)
    return drawn
