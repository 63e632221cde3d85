"""The parts of a report, one function each: from runs to a Section, or None where the runs hold nothing of the kind.

    SECTIONS: (Study) -> Section | None          a game that measures something new adds a function here

Generic throughout: whatever is measured in self-play gets a curve, whatever was played against gets bars. Must not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from matplotlib.figure import Figure

from detente.games.matrix import MatrixGame
from detente.players.scripted import MATRIX
from detente.reports import transcript
from detente.reports.plots import Anchor, Bar, Bars, Group, Panel, figure, svg
from detente.reports.run import CONDITIONS
from detente.reports.study import Study
from detente.reports.verdict import meanings, pairing, responses, thresholds, verdict

RATES = ("cooperation_rate", "efficiency", "truthfulness")  # measures that lie in [0, 1]
REFERENCES = ("tit_for_tat", "always_cooperate", "always_defect")


@dataclass(frozen=True)
class Section:
    """One part of the page: each of ``plots`` (title, SVG) on its own, and all of them together as ``picture`` for NAME.png."""

    name: str
    title: str
    template: str
    text: str = ""
    plots: tuple[tuple[str, str], ...] = ()
    picture: Figure | None = None
    small: bool = False
    folded: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)


def outcome(study: Study) -> Section:
    """The verdict of every learner, in cards and in one table with the scripted references beneath."""
    strategies = tuple(dict.fromkeys(name for entry in study.entries for name in entry.result.against))
    measures = tuple(dict.fromkeys(name for entry in study.entries for name in entry.result.self_play))
    limits = thresholds(study.anchors) if study.anchors else None
    words = [verdict(entry.result, limits) if limits else "" for entry in study.entries]
    data = {
        "entries": list(zip(study.entries, words, strict=True)),
        "strategies": strategies,
        "measures": measures,
        "references": _references(study.game, strategies) if study.game else [],
        "anchors": study.anchors,
        "meaning": {word: text for word, text in meanings(limits).items() if word in words} if limits else {},
    }
    return Section("outcome", "Outcome", "outcome.html", data=data)


def training(study: Study) -> Section | None:
    """A curve for everything that is measured in self-play, the rewards with the anchors drawn in; then all of training."""
    measures = [key.split("/")[1] for key in study.keys if re.fullmatch(r"self_play/[^/]+/LEARNER", key)]
    plots = [
        study.panel(
            name,
            f"{_title(name)} in self-play",
            [f"self_play/{name}/LEARNER"],
            anchors=_marks(study) if name == "reward" else (),
            limits=(0, 1) if name in RATES else None,
        )
        for name in measures
    ]
    plots += [
        study.panel("all_rewards", "Points per round in all training episodes", ["reward/LEARNER"], anchors=_marks(study)),
        _from_zero(study.panel("invalid", "Share of invalid answers", ["invalid/LEARNER"])),
    ]
    text = (
        "In self-play every seat plays a current learner; all training episodes may hold other opponents too. "
        "An invalid answer is never guessed: the game's default action is played and the answer is counted."
    )
    return _plotted(study, "training", "Training", text, plots, columns=2)


def behaviour(study: Study) -> Section | None:
    """P(C | last joint move): how it went, and where it ended beside tit-for-tat."""
    known = responses(study.game, "tit_for_tat") if study.game else {}
    panels = [
        study.panel(
            f"given_{condition}",
            f"{condition}: {meaning}",
            [f"cooperate_given/LEARNER/{condition}"],
            anchors=(Anchor("", known[condition]),) if known else (),
            limits=(0, 1),
            small=True,
        )
        for condition, meaning in CONDITIONS.items()
    ]
    text = "The model's own probability of cooperating after each joint move, one's own move first. Dashed: tit-for-tat."
    rows = [entry for entry in study.entries if entry.result.cooperate_given]
    if not rows and not any(panels):
        return None
    references = {name: responses(study.game, name) for name in REFERENCES} if study.game else {}
    data = {"rows": rows, "conditions": CONDITIONS, "references": references}
    return _plotted(
        study,
        "behaviour",
        "What it does after each move",
        text,
        panels,
        columns=5,
        small=True,
        template="behaviour.html",
        data=data,
    )


def against(study: Study) -> Section | None:
    """Rewards against each scripted strategy at the end, with tit-for-tat's marked."""
    titles = {"reward": "What the learner gets", "opponent_reward": "What the strategy gets"}
    found = {key: groups for key in titles if (groups := _groups(study, key))}
    values = [value for groups in found.values() for group in groups for value in group.values]
    limits = (min(0.0, *values), max(0.0, *values)) if values else (0.0, 0.0)
    plots = [Bars(key, titles[key], groups, limits) for key, groups in found.items()]
    text = "Points per round" + ("; the upright marks are what tit-for-tat would get and give." if study.game else ".")
    return _plotted(study, "against", "Against scripted strategies", text, plots, columns=2)


def opponents(study: Study) -> Section | None:
    """Rewards against other opponents over time: kept checkpoints in training, strategies in repeated evaluations."""
    evaluated = [(key, re.fullmatch(r"eval/LEARNER/vs/([^/]+)/reward", key)) for key in study.keys]
    trained = [(key, re.fullmatch(r"vs/([^/]+)/reward/LEARNER", key)) for key in study.keys]
    panels = [
        study.panel(f"vs_{found[1]}", f"against {found[1]}", [key, key.replace("/reward", "/opponent_reward")], small=True)
        for key, found in [*evaluated, *trained]
        if found
    ]
    text = "Points per round over time; solid: the learner's, dashed: the opponent's where it was measured."
    return _plotted(study, "opponents", "Against others over time", text, panels, columns=4, small=True)


def transcripts(study: Study) -> Section | None:
    """A browser of sampled episodes."""
    found = [{"label": run.label, **transcript.page_data(transcript.sample(run.path))} for run in study.runs]
    found = [each for each in found if each["episodes"]]
    text = "A few episodes of each recorded iteration, with everything that was said."
    return Section("transcripts", "Transcripts", "transcripts.html", text, data={"payload": found}) if found else None


def options(study: Study) -> Section:
    """Every option; with several runs, those that differ come first."""
    flat = [_flat(run.options) for run in study.runs]
    names = tuple(dict.fromkeys(name for each in flat for name in each))
    rows = [(name, [each.get(name, "–") for each in flat]) for name in names]
    differing = [row for row in rows if len(set(row[1])) > 1]
    shared = [row for row in rows if len(set(row[1])) == 1]
    data = {"labels": [run.label for run in study.runs], "differing": differing, "shared": shared}
    return Section("options", "Options", "options.html", data=data)


def diagnostics(study: Study) -> Section | None:
    """Every metric that no other section shows."""
    shown = r"(self_play|vs|eval|cooperate_given|reward|cooperation_rate|invalid)/.*"
    keys = [key for key in study.keys if not re.fullmatch(shown, key)]
    panels = [study.panel(key.replace("/", "_"), key.replace("/LEARNER", ""), [key], small=True) for key in keys]
    text = "mismatch: the gap between the engine's and the learner's log-probabilities, near 0 for the in-process engine."
    return _plotted(study, "diagnostics", "Training diagnostics", text, panels, columns=4, small=True, folded=True)


SECTIONS: tuple[Callable[[Study], Section | None], ...] = (
    outcome,
    training,
    behaviour,
    against,
    opponents,
    transcripts,
    diagnostics,
    options,
)


def _plotted(
    study: Study,
    name: str,
    title: str,
    text: str,
    plots: Iterable[Panel | Bars | None],
    *,
    columns: int,
    template: str = "plots.html",
    **more: Any,
) -> Section | None:
    """A section of plots; None without any, unless its template shows more than plots."""
    found = [plot for plot in plots if plot is not None]
    if not found and template == "plots.html":
        return None
    drawings = tuple((plot.title, svg(figure([plot], 1), f"{name}-{plot.name}")) for plot in found)
    labels = {curve.label: curve.colour for curve in study.curves}
    return Section(name, title, template, text, drawings, figure(found, columns, labels) if found else None, **more)


def _from_zero(panel: Panel | None) -> Panel | None:
    return panel and replace(panel, limits=(0, max(0.01, *(value for line in panel.lines for value in line.series.high))))


def _marks(study: Study) -> tuple[Anchor, ...]:
    known = study.anchors
    if known is None:
        return ()
    return (
        Anchor(f"mutual\ncooperation {known.cooperation:g}", known.cooperation),
        Anchor(f"mutual\ndefection {known.defection:g}", known.defection),
        Anchor(f"tit-for-tat vs\nalways_defect {known.reciprocity.own:.3g}", known.reciprocity.own),
    )


def _references(game: MatrixGame, strategies: Iterable[str]) -> list[dict[str, Any]]:
    """What scripted strategies get where the learners were measured; in self-play they meet themselves."""
    return [
        {
            "name": name,
            "self_play": {"reward": pairing(game, name, name).own, "cooperation_rate": pairing(game, name, name).cooperation_rate},
            "given": responses(game, name),
            "against": {strategy: pairing(game, name, strategy) for strategy in strategies if strategy in MATRIX},
        }
        for name in REFERENCES
    ]


def _groups(study: Study, key: str) -> tuple[Group, ...]:
    """Per strategy one bar per curve, the mean over its seeds, and tit-for-tat's number."""
    groups = []
    for strategy in dict.fromkeys(name for entry in study.entries for name in entry.result.against):
        bars = []
        for curve in study.curves:
            played = [run.result(curve.learner).against.get(strategy, {}) for run in curve.arm.runs]
            values = [numbers[key] for numbers in played if key in numbers]
            bars += [Bar(curve.colour, sum(values) / len(values))] if values else []
        known = pairing(study.game, "tit_for_tat", strategy) if study.game and strategy in MATRIX else None
        mark = None if known is None else known.own if key == "reward" else known.theirs
        groups.append(Group(strategy, tuple(bars), mark))
    return tuple(groups)


def _title(measure: str) -> str:
    titles = {"reward": "Points per round", "cooperation_rate": "Cooperation rate"}
    return titles.get(measure, measure.replace("_", " ").capitalize())


def _flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in options.items():
        name = f"{prefix}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) and value else {name: _shown(value)}
    return found


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
