"""``preferences``: which social preference explains what an agent chose."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from detente.cli.terminal import Trust, console, doing, kept, say
from detente.errors import UserError, counted
from detente.evaluation.statistics import LEVEL
from detente.files import folder_name


def preferences(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... [KEY=VALUE]...",
            help="Run folders, arena folders, files of episodes (.jsonl, .jsonl.gz); with --train also options of that training.",
        ),
    ],
    agent: Annotated[str, typer.Option(help="Whose choices: a name as the episodes have it, such as main or tit_for_tat.")],
    form: Annotated[
        Literal["altruism", "inequity"], typer.Option(help="What counts beside its own points: the others', or who has more.")
    ] = "altruism",
    versions: Annotated[
        int,
        typer.Option(
            min=1, max=1_000_000, help="Of an agent that learned: the newest so many versions that played in each source."
        ),
    ] = 1,
    train: Annotated[
        str | None,
        typer.Option(metavar="PRESET", help="Also train a learner that imitates it, with the options of a preset or a run folder."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="That learner's run folder; one that exists goes on.", show_default="runs/imitation/AGENT")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a CSV table.")] = False,
    trust: Trust = False,
) -> None:
    """Say how much an agent cares for the points of others, from what it chose under payoffs that vary."""
    from detente.explained import preferences as explained

    if as_json and as_csv:
        raise UserError("--json and --csv are two ways to print the same; leave out one of them.")
    named = [word for word in sources if "=" not in word or Path(word).exists()]
    overrides = [word for word in sources if word not in named]
    if train is None and (overrides or run is not None):
        raise UserError(f"{overrides[0] if overrides else '--run'} is about the training of a learner; add --train PRESET.")
    if train is None:
        with doing(console(stderr=True), f"Reading what {agent} prefers"):
            result = explained(named, agent, form=form, versions=versions)
    else:
        from detente.progress import Progress

        folder = run or Path("runs", "imitation", folder_name(agent))
        screen = console(stderr=as_json or as_csv)
        about = f"Training a learner that imitates {agent} in {folder}"
        with kept(folder), Progress(screen, about=about) as progress:
            options: dict[str, Any] = {"train": train, "run": folder, "overrides": overrides, "trust": trust}
            result = explained(named, agent, form=form, versions=versions, watchers=[progress], **options)
    show(result, "json" if as_json else "csv" if as_csv else "text")


def show(result: Mapping[str, Any], how: Literal["json", "csv", "text"]) -> None:
    """Print what was found out."""
    if how == "json":
        print(json.dumps(result, indent=2))
    elif how == "csv":
        rows = list(map(partial(_row, result), result["ratios"]))
        table = csv.DictWriter(sys.stdout, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    else:
        for line in (*sentences(result), *imitation_sentences(result)):
            say(console(), line)


def _row(result: Mapping[str, Any], preference: str) -> dict[str, Any]:
    """All of one preference that is a single value, by column."""
    row = {"agent": result["agent"], "preference": preference, **result["ratios"][preference]}
    row |= {name: value for name, value in result.items() if name not in ("ratios", "imitation")}
    if learned := result.get("imitation"):
        row |= {f"imitation_{name}": value for name, value in learned.items() if name not in ("ratios", "after")}
        row["imitation_value"] = learned["ratios"][preference]
    return row


def sentences(result: Mapping[str, Any]) -> list[str]:
    """The preferences in words."""
    played = (
        f"{counted(result['choices'], 'choice')} on {counted(result['seeds'], 'game seed')} in "
        f"{counted(result['tables'], 'payoff table')}; log-likelihood "
        f"{_number(result['log_likelihood'], 3)} a choice, chance {result['chance']:.3f}"
    )
    if result["separable"]:
        lines = [f"{result['agent']}: {name} {_bound(**ratio)}" for name, ratio in result["ratios"].items()]
        return [*lines, played, "Its choices leave no doubt anywhere, so they bound what it prefers and give no number."]
    lines = [f"{result['agent']}: {name} {_value(**ratio)}" for name, ratio in result["ratios"].items()]
    if any(ratio["low"] is None for ratio in result["ratios"].values()):
        lines.append(_why_no_interval(result["seeds"]))
    return [*lines, f"one point of its own multiplies the odds of an action by {math.exp(result['own']):.2f}", played]


def imitation_sentences(result: Mapping[str, Any]) -> list[str]:
    """What the learner that imitates the agent was rewarded for, and how near it came, in words; nothing where there is none."""
    if "imitation" not in result:
        return []
    learned = result["imitation"]
    ratios = [f"{name} {'none' if ratio is None else _number(ratio)}" for name, ratio in learned["ratios"].items()]
    after = [f"{last} {_first(agent)} / {_first(learner)}" for last, (agent, learner) in learned["after"].items()]
    return [
        f"imitated for {counted(learned['iterations'], 'iteration')}: {', '.join(ratios)}",
        f"the next moves of the two are {learned['distance']:.2f} apart (total variation, 0 to 1)",
        f"probability of the first action after each last joint move, {result['agent']} / learner: {', '.join(after)}",
    ]


def _first(probabilities: Sequence[float]) -> str:
    return f"{probabilities[0]:.2f}"


def _value(value: float, low: float | None, high: float | None) -> str:
    ends = " (no interval)" if low is None or high is None else f" [{_number(low)}, {_number(high)}]"
    return _number(value) + ends


def _why_no_interval(seeds: int) -> str:
    if seeds == 1:
        return "No interval: it takes several game seeds, and these choices are all on the same."
    share = f"{(1 - LEVEL) / 2:.1%}".replace("%", " %")
    return f"No interval: in more than {share} of the resamples own points do not count, so that it has no end."


def _bound(value: None, low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"between {_number(low)} and {_number(high)}"
    if low is not None:
        return f"at least {_number(low)}"
    return "anything" if high is None else f"at most {_number(high)}"


def _number(value: float, digits: int = 2) -> str:
    """Without the sign of a zero."""
    return f"{round(value, digits) + 0:.{digits}f}"
