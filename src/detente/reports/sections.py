"""The parts of a report, one function each: from runs to a Section, or None where the runs hold nothing for it.

    sections: Study ──> outcome, training, the chapters of the game's family, against, ...

Every measure of self-play gets a curve, every opponent gets bars, and what is special about a game comes from the reading of its
family. Must not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, islice
from typing import Any

from matplotlib.figure import Figure

from detente.games.reading import Anchor, Chapter, Plot
from detente.reports import curriculum, transcript, trials
from detente.reports.plots import Bar, Bars, Group, Panel, figure, svg
from detente.reports.study import Curve, Study

MOST_TEXT = 4_000_000  # characters of transcripts on a page
MOST_PLOTS = 60  # in one part of the page; a few hundredths of a second each


@dataclass(frozen=True)
class Section:
    """A part of the page. Each of ``plots`` (title, SVG) stands on its own; all together, with a ``legend``, are NAME.png."""

    name: str
    title: str
    template: str
    text: str = ""
    plots: tuple[tuple[str, str], ...] = ()
    drawn: tuple[Panel | Bars, ...] = ()
    legend: Mapping[str, int] = field(default_factory=dict)
    small: bool = False
    folded: bool = False
    columns: int = 2
    data: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def picture(self) -> Figure | None:
        """All plots together; drawn on first use, which the pages of a running training never make."""
        return figure(self.drawn, self.columns, self.legend) if self.drawn else None


def parts(study: Study) -> Mapping[str, Callable[[Study], Section | None]]:
    """The functions that make the parts of the page, by name, in order."""
    return {
        "outcome": outcome,
        "training": training,
        **{chapter.name: partial(behaviour, chapter=chapter) for chapter in study.reading.chapters},
        **({"trials": in_trials} if any(trials.length(run.options) for run in study.runs) else {}),
        **({"curriculum": in_curriculum} if "curriculum/regret" in study.keys else {}),
        "against": against,
        "opponents": opponents,
        "transcripts": transcripts,
        "diagnostics": diagnostics,
        "options": options,
    }


def sections(study: Study) -> tuple[Section, ...]:
    """The parts of the page that these runs have, in order."""
    made = (make(study) for make in parts(study).values())
    return tuple(section for section in made if section is not None)


def outcome(study: Study) -> Section:
    """The verdict of every learner, in cards, and in a table with the scripted references beneath."""
    known = study.reading
    measured = dict.fromkeys(name for entry in study.entries for name in entry.result.self_play)
    verdicts = [known.verdict(entry.result) for entry in study.entries]
    data = {
        "entries": list(zip(study.entries, verdicts, strict=True)),
        "measures": (*(name for name in known.facts if name in measured), *(name for name in measured if name not in known.facts)),
        "facts": tuple(name for name in known.facts or measured if name in measured),
        "meaning": {word: study.worded(text) for word, text in known.meanings.items() if word in verdicts},
    }
    return Section("outcome", "Outcome", "outcome.html", data=data)


def training(study: Study) -> Section | None:
    """Curves of self-play, first the plots of the family, and curves of all training episodes."""
    in_chapters = {name for chapter in study.reading.chapters for plot in chapter.plots for name in plot.measures}
    shown = in_chapters | {name for plot in study.reading.plots for name in plot.measures}
    rest = [name for name in _self_play(study) if name not in shown]
    plots = [*study.reading.plots, *(_alone(study, name) for name in rest)]
    whole = [
        study.panel("all_rewards", "Points per round in all training episodes", ["reward/LEARNER"], anchors=study.reading.anchors),
        _from_zero(study.panel("invalid", "Share of invalid answers", ["invalid/LEARNER"])),
        *(_varied(study, key) for key in study.keys if key.startswith("vary/")),
    ]
    panels = chain((_curves(study, plot) for plot in plots), whole)
    text = (
        f"{study.together.capitalize()} every seat plays its present policy; all training episodes may hold other opponents too. "
        "An invalid answer is never guessed: the game's default action is played and the answer is counted."
    )
    return _plotted(study, "training", "Training", text, panels, columns=2)


def _varied(study: Study, key: str) -> Panel | None:
    """A parameter of the game that varies."""
    return study.panel(key.replace("/", "_"), f"game.{key.removeprefix('vary/')} in training, mean over groups", [key])


def _alone(study: Study, name: str) -> Plot:
    """A measure of self-play that no plot of the reading shows."""
    measure = study.known.measure(name)
    return Plot((name,), f"{study.known.words(name).capitalize()} in self-play", measure.bounds if measure else None)


def behaviour(study: Study, chapter: Chapter) -> Section | None:
    """What a policy does given what happened before: how it went, and where it ended beside the references."""
    marked = study.marked.given if study.marked else {}
    panels = [_curves(study, plot, small=True) for plot in chapter.plots]
    for column in chapter.columns:
        table, condition = column.key.split("/")
        marks = (Anchor("", marked[column.key]),) if column.key in marked else ()
        key, name = f"{table}/LEARNER/{condition}", column.key.replace("/", "_")
        panels.append(study.panel(name, column.title, [key], anchors=marks, limits=(0, chapter.most), small=True))
    keys = {column.key for column in chapter.columns}
    rows = [entry for entry in study.entries if keys & entry.result.given.keys()]
    if not rows and not any(panels):
        return None
    references = [reference for reference in study.references if keys & reference.given.keys()]
    invalid = any(entry.result.invalid for entry in rows)
    data = {"chapter": chapter, "rows": rows, "references": references, "told": _told(study, chapter), "invalid": invalid}
    return _plotted(
        study,
        chapter.name,
        chapter.title,
        chapter.text,
        panels,
        columns=chapter.across,
        small=True,
        template="behaviour.html",
        data=data,
    )


def _told(study: Study, chapter: Chapter) -> list[str]:
    """A sentence for each measure and curve: from the first iteration to the last."""
    sentences = []
    for measure in chapter.told:
        for curve in study.curves:
            series = curve.series(f"self_play/{measure}/LEARNER", limit=10**9)
            if series is None:
                continue
            start, end = series.values[0], series.values[-1]
            went = "fell" if end < start - 0.05 else "rose" if end > start + 0.05 else "stayed near where it was"
            span = f"from {start:.2f} in iteration {series.iterations[0]} to {end:.2f} in iteration {series.iterations[-1]}"
            sentences.append(f"{curve.label}: {study.known.words(measure)} {study.together} {went}, {span}.")
    return sentences


def in_trials(study: Study) -> Section | None:
    """Of runs in trials the first and the last ones, episode by episode."""
    tables = [table for run in study.runs for table in trials.tables(run)]
    text = (
        "A trial is several episodes with the same players, who may learn in between. Of joint moves that of the first seat stands "
        "first, of last moves one's own."
    )
    return Section("trials", "Episode by episode of a trial", "trials.html", text, data={"tables": tables}) if tables else None


def in_curriculum(study: Study) -> Section | None:
    """Whom and what a curriculum had the groups play, and what there was to gain."""
    more: Any = {"columns": 4, "small": True, "template": "curriculum.html", "data": {"tables": curriculum.tables(study)}}
    return _plotted(study, "curriculum", "Curriculum", curriculum.TEXT, curriculum.panels(study), **more)


def against(study: Study) -> Section | None:
    """Rewards against each scripted strategy at the end, with those of a reference marked."""
    titles = {"reward": "What the learner gets", "opponent_reward": "What the strategy gets"}
    groups_of = {key: groups for key in titles if (groups := _groups(study, key))}
    values = [value for groups in groups_of.values() for group in groups for value in group.values]
    limits = (min(0.0, *values), max(0.0, *values)) if values else (0.0, 0.0)
    plots = [Bars(key, titles[key], groups, limits) for key, groups in groups_of.items()]
    marks = f"; the upright marks are what {study.reading.marked.replace('_', '-')} would get and give" if study.marked else ""
    text = f"Points per round; thin lines are 95 % intervals over training seeds, or of one run over game seeds{marks}."
    return _plotted(study, "against", "Against scripted strategies", text, plots, columns=2)


def opponents(study: Study) -> Section | None:
    """Rewards against other opponents over time, in training and in repeated evaluations."""
    evaluated = [(key, re.fullmatch(r"eval/LEARNER/vs/([^/]+)/reward", key)) for key in study.keys]
    trained = [(key, re.fullmatch(r"vs/([^/]+)/reward/LEARNER", key)) for key in study.keys]
    where = [(key, f"vs_{match[1]}", f"against {match[1]}") for key, match in evaluated if match]
    where += [(key, f"trained_vs_{match[1]}", f"against {match[1]}, training") for key, match in trained if match]
    panels = (study.panel(name, title, [key, key.replace("/reward", "/opponent_reward")], small=True) for key, name, title in where)
    text = "Points per round over time; solid: the learner's, dashed: the opponent's where it was measured."
    return _plotted(study, "opponents", "Against others over time", text, panels, columns=4, small=True)


def transcripts(study: Study) -> Section | None:
    """A browser of sampled episodes."""
    room = MOST_TEXT // len(study.runs)
    sampled = [{"label": run.label, **transcript.fitting(run.path, room)} for run in study.runs]
    sampled = [run_data for run_data in sampled if run_data["episodes"]]
    text = "A few episodes of each recorded iteration, with everything that was said."
    return Section("transcripts", "Transcripts", "transcripts.html", text, data={"payload": sampled}) if sampled else None


def options(study: Study) -> Section:
    """Every option; with several runs, those that differ come first."""
    flat = [_flat(run.options) for run in study.runs]
    names = tuple(dict.fromkeys(name for values in flat for name in values))
    rows = [(name, [values.get(name, "–") for values in flat]) for name in names]
    differing = [row for row in rows if len(set(row[1])) > 1]
    shared = [row for row in rows if len(set(row[1])) == 1]
    data = {"labels": [run.label for run in study.runs], "differing": differing, "shared": shared}
    return Section("options", "Options", "options.html", data=data)


def diagnostics(study: Study) -> Section | None:
    """Every metric that no other section shows."""
    shown = {"self_play", "vs", "eval", "reward", "invalid", "vary", "curriculum", *study.known.tables, *_self_play(study)}
    keys = [key for key in study.keys if key.partition("/")[0] not in shown]
    panels = (study.panel(key.replace("/", "_"), key.replace("/LEARNER", ""), [key], small=True) for key in keys)
    shared = (
        " What belongs to a learner in all of its roles has the colour of the first." if any(c.role for c in study.curves) else ""
    )
    text = f"mismatch: the gap between the engine's and the learner's log-probabilities, near 0 for the in-process engine.{shared}"
    return _plotted(study, "diagnostics", "Training diagnostics", text, panels, columns=4, small=True, folded=True)


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
    """A section of plots, at most MOST_PLOTS; None without any, unless its template shows more than plots."""
    drawn = list(islice((plot for plot in plots if plot is not None), MOST_PLOTS + 1))
    if not drawn and template == "plots.html":
        return None
    if len(drawn) > MOST_PLOTS:
        drawn, text = drawn[:MOST_PLOTS], f"{text} Only the first {MOST_PLOTS} are drawn; metrics.jsonl has them all."
    drawings = tuple((plot.title, svg(figure([plot], 1), f"{name}-{plot.name}")) for plot in drawn)
    labels = {curve.label: curve.colour for curve in study.curves}
    return Section(name, title, template, text, drawings, tuple(drawn), labels, columns=columns, **more)


def _from_zero(panel: Panel | None) -> Panel | None:
    return panel and replace(panel, limits=(0, max(0.01, *(value for line in panel.lines for value in line.series.high))))


def _self_play(study: Study) -> list[str]:
    """The measures of self-play over training."""
    return [key.split("/")[1] for key in study.keys if re.fullmatch(r"self_play/[^/]+/LEARNER", key)]


def _curves(study: Study, plot: Plot, small: bool = False) -> Panel | None:
    keys = [f"self_play/{measure}/LEARNER" for measure in plot.measures]
    return study.panel(
        "_".join(plot.measures), study.worded(plot.title), keys, anchors=plot.anchors, limits=plot.limits, small=small
    )


def _groups(study: Study, key: str) -> tuple[Group, ...]:
    """Per strategy one bar per curve, and the number of the marked reference."""
    groups = []
    for strategy in study.strategies:
        bars = [bar for curve in study.curves if (bar := _bar(curve, strategy, key)) is not None]
        mark = study.marked.against.get(strategy, {}).get(key) if study.marked else None
        groups.append(Group(strategy, tuple(bars), mark))
    return tuple(groups)


def _bar(curve: Curve, strategy: str, key: str) -> Bar | None:
    """The mean over the seeds of a curve with their interval; of one seed with that over the game seeds of its evaluation."""
    estimate = curve.over_seeds("against", strategy, key)
    if estimate is None:
        return None
    if len(curve.results) == 1:
        return Bar(curve.colour, estimate.mean, curve.results[0].intervals.get(strategy, {}).get(key))
    ends = estimate.low, estimate.high
    return Bar(curve.colour, estimate.mean, None if ends[0] is None or ends[1] is None else (ends[0], ends[1]))


def _flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in options.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) and value else {name: _shown(value)}
    return flat


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
