"""``preferences``: which social preference explains what an agent chose."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from detente.cli.terminal import console, doing, say
from detente.errors import UserError, counted


def preferences(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SOURCE", help="Run folders, arena folders, files of episodes (.jsonl, .jsonl.gz).")
    ],
    agent: Annotated[str, typer.Option(help="Whose choices: a name as the episodes have it, such as main or tit_for_tat.")],
    form: Annotated[
        Literal["altruism", "inequity"], typer.Option(help="What counts beside its own points: the others', or who has more.")
    ] = "altruism",
    versions: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Of an agent that learned: the newest so many versions that played.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a CSV table.")] = False,
) -> None:
    """Say how much an agent cares for the points of others, from what it chose under payoffs that vary."""
    from detente import api

    if as_json and as_csv:
        raise UserError("--json and --csv are two ways to print the same; leave out one of them.")
    with doing(console(stderr=True), f"Reading what {agent} prefers"):
        result = api.preferences(sources, agent, form=form, versions=versions)
    if as_json:
        print(json.dumps(result, indent=2))
    elif as_csv:
        table = csv.writer(sys.stdout)
        table.writerow(("agent", "preference", "value", "low", "high"))
        table.writerows((agent, name, *ratio.values()) for name, ratio in result["ratios"].items())
    else:
        for line in sentences(result):
            say(console(), line)


def sentences(result: Mapping[str, Any]) -> list[str]:
    """The result in words."""
    played = (
        f"{counted(result['choices'], 'choice')} on {counted(result['seeds'], 'game seed')} in "
        f"{counted(result['tables'], 'payoff table')}; log-likelihood "
        f"{round(result['log_likelihood'], 3) + 0:.3f} a choice, chance {result['chance']:.3f}"
    )
    if result["separable"]:
        lines = [f"{result['agent']}: {name} {_bound(**ratio)}" for name, ratio in result["ratios"].items()]
        return [*lines, played, "Its choices leave no doubt anywhere, so they bound what it prefers and give no number."]
    lines = [f"{result['agent']}: {name} {_value(**ratio)}" for name, ratio in result["ratios"].items()]
    return [*lines, f"one point of its own multiplies the odds of an action by {math.exp(result['own']):.2f}", played]


def _value(value: float, low: float | None, high: float | None) -> str:
    return f"{value:.2f}" + (" (no interval)" if low is None else f" [{low:.2f}, {high:.2f}]")


def _bound(value: None, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "anything" if low is high else f"at most {high:.2f}" if low is None else f"at least {low:.2f}"
    return f"between {low:.2f} and {high:.2f}"
