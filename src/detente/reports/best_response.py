"""A best response to look at: both sides' rewards over training as a picture, and what it comes to as a page and as text.

    best_response.json ──> report/best_response.html, report/best_response.png

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from detente import stored
from detente.errors import counted
from detente.evaluation.statistics import in_words
from detente.family_file import Description, description
from detente.games.reading import Anchor
from detente.games.roles import in_role
from detente.reports.page import environment
from detente.reports.run import Series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = Mapping[str, Any]  # the content of best_response.json
Pair = Sequence[float]  # bounds, [low, high]


def best_response_page(run: Path) -> Path:
    """Write the page and the picture into the run's report folder; returns the page."""
    from detente.reports.plots import save, svg

    result = stored.best_response(run / "best_response.json")
    folder = run / "report"
    folder.mkdir(exist_ok=True)
    save(picture(result), folder / "best_response.png")
    page = folder / "best_response.html"
    text = (
        environment()
        .get_template("best_response.html")
        .render(
            result=result,
            names=_names(result),
            agent=_agent(result),
            drawing=svg(picture(result, named=False), "best-response"),
            rows=rows(result),
            sentences=sentences(result, known(run, result)),
        )
    )
    page.write_text(text, encoding="utf-8")
    return page


def known(run: Path, result: Result) -> Description:
    """What is known of the game of a best response, which it does not say the parameters of."""
    return description(run, {"name": result.get("game")})


def picture(result: Result, named: bool = True) -> Figure:
    """Rewards over iterations with their intervals, between what cooperation and the exact best response are worth.

    The page names the curves itself, so that they fit any screen.
    """
    from detente.reports.plots import Line, Panel, figure

    anchors = []
    if "cooperator" in result:
        anchors.append(Anchor("cooperating\nwith it", result["cooperator"]["reward"]["mean"]))
    if exact := comparable(result):
        anchors.append(Anchor("exact best\nresponse", sum(exact["value"]) / 2 / exact["rounds"]))
    lines = tuple(Line(name, colour, _series(result, key)) for colour, (key, name) in enumerate(_names(result).items()))
    panel = Panel("best_response", "Points per round", lines, tuple(anchors))
    return figure([panel], 1, {line.label: line.colour for line in lines} if named else None)


def _names(result: Result) -> dict[str, str]:
    return {"responder": in_role("best responder (learns)", _role(result, "responder")), "agent": f"{_agent(result)} (frozen)"}


def _role(result: Result, who: str) -> str:
    """What the responder, or the agent, plays where seats differ; else ""."""
    return str((result.get("roles") or {}).get(who, ""))


def _agent(result: Result) -> str:
    """The agent by its name and role."""
    return in_role(result["label"], _role(result, "agent"))


def _series(result: Result, key: str) -> Series:
    points = [(row["iteration"], row[key]) for row in result["curve"]]
    return Series(
        iterations=tuple(iteration for iteration, _ in points),
        values=tuple(point["mean"] for _, point in points),
        low=tuple(point["mean"] if point["low"] is None else point["low"] for _, point in points),
        high=tuple(point["mean"] if point["high"] is None else point["high"] for _, point in points),
    )


def rows(result: Result) -> list[tuple[str, str, str]]:
    """(who, its points per round, the agent's): the trained responder, a cooperator, the agent itself, and what is exact."""
    table = [("trained best responder", in_words(result["responder"]["reward"]), in_words(result["responder"]["agent_reward"]))]
    if "cooperator" in result:
        cooperator = result["cooperator"]
        table.append((cooperator["name"], in_words(cooperator["reward"]), in_words(cooperator["agent_reward"])))
    if alone := result.get("self_play"):
        table.append(("the agent itself", in_words(alone["reward"]), in_words(alone.get("agent_reward") or alone["reward"])))
    if exact := comparable(result):
        for name, own, theirs in extremes(exact):
            table.append((f"exact {name}", _per_round(own, exact["rounds"]), _per_round(theirs, exact["rounds"])))
    return table


def extremes(exact: Mapping[str, Any]) -> list[tuple[str, Pair, Pair]]:
    """(what, bounds of the opponent's points, bounds of the agent's) over an episode: the best response, and the floor where it was
    computed, the least that an opponent can leave the agent."""
    lines = [("best response", exact["value"], exact["agent_value"])]
    if exact.get("floor") and exact.get("floor_opponent"):
        lines.append(("floor", exact["floor_opponent"], exact["floor"]))
    return lines


def sentences(result: Result, game: Description) -> list[str]:
    """What the numbers say."""
    lines = []
    place = f"as {role} " if (role := _role(result, "responder")) else ""
    if "gain" in result:
        lines.append(
            f"Trained {place}against {_agent(result)}, the best responder gains {in_words(result['gain'])} points per round over "
            f"cooperating with it; the agent loses {in_words(result['loss'])} against what it gets from a cooperator."
        )
    measured = result["responder"]["measures"].items()
    if doing := ", ".join(f"{game.words(name)} {value:.2f}" for name, value in measured if value is not None):
        lines.append(f"What the responder does in the end: {doing}.")
    if result["exact"]:
        exact = result["exact"]
        total = bounds(exact["value"])
        lines.append(
            f"The exact best response over {_length(exact)} is worth {total} points in all ({_method(exact)}): "
            f"{exact['play']}{'' if _of_script(exact) else ' if the agent does what it does most often'}."
        )
        if exact["earned"]:
            lines.append(f"Played against the agent itself, that plan earned {in_words(exact['earned'])} points in all.")
        if exact.get("floor") and exact.get("floor_opponent"):
            lines.append(
                f"An opponent that only harms the agent leaves it {bounds(exact['floor'])} points in all and has "
                f"{bounds(exact['floor_opponent'])} then: {exact.get('floor_play', '')}."
            )
        if exact.get("floor_left"):
            lines.append(f"Played against the agent itself, that plan left it {in_words(exact['floor_left'])} points in all.")
    return lines


def table(result: Result) -> Table:
    """The rows for the terminal."""
    drawn = Table(title=f"against {_agent(result)}, points per round", title_justify="left")
    for head in ("responder", "gets", "the agent gets"):
        drawn.add_column(head, justify="left" if head == "responder" else "right")
    for name, own, theirs in rows(result):
        drawn.add_row(Text(name), own, theirs)
    return drawn


def exact_table(exact: Mapping[str, Any], agent: str) -> Group:
    """What the exact best response is worth, for the terminal: points over an episode."""
    drawn = Table()
    drawn.add_column(f"against {agent}, points over {_length(exact)}", justify="left")
    drawn.add_column("gets", justify="right")
    drawn.add_column("the agent gets", justify="right")
    for name, own, theirs in extremes(exact):
        drawn.add_row(name, bounds(own), bounds(theirs))
    if exact["cooperator"]:
        drawn.add_row("always cooperating", bounds(exact["cooperator"]), bounds(exact["agent_with_cooperator"]))
    lines = [
        "the floor is the least that an opponent can leave the agent",
        _method(exact),
        f"best response {'in play' if _of_script(exact) else 'most likely'}: {exact['play']}",
        f"opponent at the floor {'in play' if _of_script(exact) else 'most likely'}: {exact['floor_play']}",
    ]
    if exact["gain"] is not None:
        lines.append(f"gain over cooperating {exact['gain']:.2f}, loss of the agent {exact['loss']:.2f}")
    if exact["earned"]:
        earned, left = in_words(exact["earned"]), in_words(exact["floor_left"])
        lines.append(
            f"played against the agent itself, the best response earned {earned}, and the other plan left the agent {left}"
        )
    return Group(drawn, *(Text(line) for line in lines))


def bounds(pair: Pair) -> str:
    """``32.00``, or ``31.89 to 31.90`` where some histories were not read."""
    low, high = (f"{value:.2f}" for value in pair)
    return low if low == high else f"{low} to {high}"


def comparable(result: Result) -> Mapping[str, Any] | None:
    """The exact best response where it can stand beside points per round: not where the end is drawn, for then short episodes
    count as much as long ones in those, and less in its totals."""
    exact: Mapping[str, Any] | None = result["exact"]
    return exact if exact and exact["expected_rounds"] == exact["rounds"] else None


def _of_script(exact: Mapping[str, Any]) -> bool:
    """Whether the agent is a script whose rule is known, so that plans are described by what they do in play."""
    return bool(exact["method"] == "finite memory")


def _method(exact: Mapping[str, Any]) -> str:
    """How the values were computed."""
    return f"{exact['method']}, {exact['histories']} {'states' if _of_script(exact) else 'histories read'}"


def _length(exact: Mapping[str, Any]) -> str:
    """How long an episode is."""
    if exact["expected_rounds"] == exact["rounds"]:
        return counted(exact["rounds"], "round")
    return f"at most {counted(exact['rounds'], 'round')} ({exact['expected_rounds']:.1f} on average)"


def _per_round(pair: Pair, rounds: int) -> str:
    return bounds((pair[0] / rounds, pair[1] / rounds))
