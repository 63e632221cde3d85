"""The worst case of an agent to look at: what every adversary gets and leaves it, as a picture, a page and tables of the terminal.

    worst_case.json ──> index.html, worst_case.png

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from detente import stored
from detente.evaluation.statistics import in_words
from detente.games.roles import in_role
from detente.reports.best_response import bounds, comparable
from detente.reports.page import environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = Mapping[str, Any]  # the content of worst_case.json
QUESTIONS = {
    "gain": "most gained over cooperating",
    "reward": "most points",
    "agent_reward": "least left to the agent",
    "margin": "largest margin over the agent",
}
COLUMNS = {"reward": "gets", "agent_reward": "the agent gets", "gain": "gain", "loss": "loss", "margin": "margin"}
AIMS = {
    "own": "its own points",
    "harm": "few points for the agent",
    "margin": "more points than the agent",
    "shaper": "its own points over a trial of several episodes, between which the agent learns",
}


def worst_case_page(folder: Path) -> Path:
    """Write index.html and worst_case.png into the folder of a search; returns the page."""
    from detente.reports.plots import save, svg

    result = stored.worst_case(folder / "worst_case.json")
    save(picture(result), folder / "worst_case.png")
    page = folder / "index.html"
    text = (
        environment()
        .get_template("worst_case.html")
        .render(
            result=result,
            agent=agent(result),
            drawing=svg(picture(result), "worst-case"),
            worst=worst_rows(result),
            columns=columns(result),
            rows=rows(result),
            learning=learning_rows(result),
            aims={aim: AIMS.get(aim, aim) for aim in dict.fromkeys(row["aim"] for row in result["adversaries"] if "aim" in row)},
        )
    )
    page.write_text(text, encoding="utf-8")
    return page


def agent(result: Result) -> str:
    """The agent by its name and role."""
    return in_role(result["label"], str((result.get("roles") or {}).get("agent", "")))


def columns(result: Result) -> dict[str, str]:
    """The numbers that every adversary has, with their heads."""
    return {key: head for key, head in COLUMNS.items() if all(key in row for row in result["adversaries"])}


def rows(result: Result) -> list[tuple[str, dict[str, str]]]:
    """(who met the agent, its numbers), in the order of the search."""
    return [(row["name"], {key: in_words(row[key]) for key in columns(result)}) for row in result["adversaries"]]


def learning_rows(result: Result) -> list[tuple[str, str, list[str]]]:
    """(shaper, who gets it, its points in each episode of the last trial), for every shaper and the agent."""
    return [
        (row["name"], who, [in_words(points) for points in row["while_learning"][key]])
        for row in result["adversaries"]
        if row.get("while_learning")
        for key, who in (("reward", "the shaper"), ("agent_reward", "the agent"))
    ]


def worst_rows(result: Result) -> list[tuple[str, str, str, str]]:
    """(question, who is the worst, its number on the other game seeds, the exact value or a dash)."""
    return [
        (
            QUESTIONS.get(line["question"], line["question"]),
            line["adversary"],
            in_words(line[line["question"]]),
            exact_answer(result, line["question"]),
        )
        for line in result["worst"]
    ]


def exact_answer(result: Result, question: str) -> str:
    """The exact worst value of a question in points per round, where it is known."""
    exact = comparable(result)
    pair = None
    if exact and question == "reward":
        pair = exact["value"]
    elif exact and question == "gain" and exact.get("cooperator"):
        (low, high), (less, more) = exact["value"], exact["cooperator"]
        pair = [low - more, high - less]
    elif exact and question == "agent_reward":
        pair = exact.get("floor")
    return "–" if not exact or pair is None else bounds((pair[0] / exact["rounds"], pair[1] / exact["rounds"]))


def worst_case_tables(result: Result) -> Group:
    """The worst case and everybody who met the agent, for the terminal."""
    everybody = Table(title=f"against {agent(result)}, points per round", title_justify="left")
    for head in ("adversary", *columns(result).values()):
        everybody.add_column(head, justify="left" if head == "adversary" else "right")
    for name, numbers in rows(result):
        everybody.add_row(Text(name), *numbers.values())
    worst = Table(title="the worst case: chosen on half of the game seeds, measured on the other half", title_justify="left")
    for head in ("question", "adversary", "trained", "exact"):
        worst.add_column(head, justify="left" if head in ("question", "adversary") else "right")
    for question, name, trained, exact in worst_rows(result):
        worst.add_row(question, Text(name), trained, exact)
    return Group(everybody, *_learning_table(result), worst)


def _learning_table(result: Result) -> list[Table]:
    lines = learning_rows(result)
    if not lines:
        return []
    table = Table(title="while the agent learns, points per round in each episode of the last trial", title_justify="left")
    for head in ("adversary", "who", *map(str, range(1, max(len(points) for _, _, points in lines) + 1))):
        table.add_column(head, justify="left" if head in ("adversary", "who") else "right")
    for name, who, points in lines:
        table.add_row(Text(name), who, *points)
    return [table]


def picture(result: Result) -> Figure:
    """What each adversary gets and what the agent gets from it, a row for an aim and a start, a mark for each seed."""
    import matplotlib
    from matplotlib.figure import Figure

    from detente.reports.plots import MUTED, SERIES, STYLE

    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in result["adversaries"]:
        groups.setdefault(f"{row['aim']} from {row['start']}" if "aim" in row else row["name"], []).append(row)
    most = max(map(len, groups.values()))
    step = 0.7 / most
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(6.4, 1.1 + 0.16 * (most + 1) * len(groups)), layout="constrained")
        axes = drawn.subplots()
        for place, group in enumerate(groups.values()):
            for number, row in enumerate(group):
                at = place + (number - (len(group) - 1) / 2) * step
                for colour, key in zip(SERIES, ("reward", "agent_reward"), strict=False):
                    mean, low, high = (row[key][part] for part in ("mean", "low", "high"))
                    if low is not None and high is not None:
                        axes.plot([low, high], [at, at], color=colour, lw=1.8, alpha=0.5)
                    axes.plot([mean], [at], color=colour, marker="o", ms=4, ls="")
        exact = comparable(result)
        for colour, key in zip(SERIES, ("value", "floor"), strict=False):
            if exact and exact.get(key):
                axes.axvline(sum(exact[key]) / 2 / exact["rounds"], color=colour, lw=1.2, ls=(0, (4, 3)), zorder=1)
        axes.set_yticks(range(len(groups)), list(groups))
        axes.set_ylim(len(groups) - 0.4, -0.6)
        axes.tick_params(axis="y", labelcolor=MUTED, length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("points per round")
        handles = [axes.plot([], [], color=SERIES[i], marker="o", ms=4, ls="")[0] for i in (0, 1)]
        drawn.legend(handles, ["the adversary", "the agent"], loc="outside upper left", ncols=2)
    return drawn
