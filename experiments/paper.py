"""The paper's experiments as a suite: every figure of theirs beside what came out here, on one page.

    python experiments/paper.py --scale pocket|smollm2|7b [--game ipd] [--jobs 2] [--runs DIR] [key=value ...]
    python experiments/paper.py --scale pocket --write      # trains nothing: the page of what is there, and the commands

"Learning Robust Social Strategies with Large Language Models" (Piche et al., arXiv 2511.19405): learning curves, cross-play, the
best response to a frozen agent, and the ablations. What is there is not run again, and every command resumes. ``7b`` needs a GPU of
80 GB, so its commands are written and marked as not run.
"""

from __future__ import annotations

import argparse
import base64
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detente.reports.page import environment

ARMS = {"naive": "reinforce", "sum_of_rewards": "sum_of_rewards", "advantage_alignment": "advantage_alignment"}
ABLATIONS = {
    "as_it_is": "opponents.kept={kept}",
    "no_earlier_versions": "opponents.kept=0",
    "no_group_baseline": "credit.baseline=batch",
}
SCRIPTS = {"ipd": ["always_defect", "always_cooperate"], "split_no_comm": ["greedy", "welfare"], "trust_and_split": []}
CLAIMS = {
    "curves": "Trained with ordinary multi-agent reinforcement learning, agents turn greedy although the base model cooperates. "
    "With Advantage Alignment they reach a high joint payoff. (Rewarding the sum is the cooperative extreme.)",
    "cross_play": "Advantage Alignment gets what is to be had from cooperators and from itself, and is not exploited by greed.",
    "best_response": "A fresh naive learner that trains against the frozen agent ends up cooperating with it.",
    "ablations": "A buffer of earlier versions as opponents, and the baseline within groups of games with the same seed, belong to "
    "the recipe.",
}
TITLES = {
    "curves": "Learning curves",
    "cross_play": "Cross-play",
    "best_response": "Best response to the frozen agent",
    "ablations": "Ablations",
}
Table = tuple[list[str], list[list[str]]]  # head and rows


@dataclass(frozen=True)
class Scale:
    """A size at which the suite runs: its presets by game, seeds, and episodes of an arena; ``here`` if a CPU can do it."""

    presets: dict[str, str]
    seeds: str
    episodes: int
    here: bool = True

    @property
    def first(self) -> str:
        """The seed whose runs meet each other."""
        return self.seeds.split(",")[0]


SCALES = {
    "pocket": Scale({"ipd": "ipd", "split_no_comm": "split_no_comm", "trust_and_split": "trust_and_split"}, "0,42,1337", 64),
    "smollm2": Scale({"ipd": "ipd_smollm2"}, "0,1,2", 32),
    "7b": Scale(
        {"ipd": "ipd_paper", "split_no_comm": "split_no_comm_paper", "trust_and_split": "trust_and_split_paper"},
        "0,42,1337",
        256,
        here=False,
    ),
}


@dataclass(frozen=True)
class Figure:
    """One figure: the commands that make it, the file that the last of them leaves, its pictures, and its numbers as a table."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    result: Path
    pictures: tuple[Path, ...]
    table: Callable[[Any], Table]

    @property
    def done(self) -> bool:
        """Whether its result is there."""
        return self.result.exists()


def figures(game: str, scale: Scale, folder: Path, overrides: Sequence[str] = ()) -> list[Figure]:
    """All figures of a game at a scale, in the order in which their commands run; ``overrides`` are options of every command."""
    preset = scale.presets[game]
    runs = {arm: folder / "curves" / f"{arm}-seed{scale.first}" for arm in ARMS}
    agent = str(runs["advantage_alignment"])
    others = SCRIPTS[game] or [str(runs["naive"]), str(runs["sum_of_rewards"])]
    kept = "0.25" if scale.here else "0.5"
    changes = {arm: f"algorithm=advantage_alignment {change.format(kept=kept)}" for arm, change in ABLATIONS.items()}
    return [
        Figure(
            "curves",
            (
                sweep(preset, scale, folder / "curves", {arm: f"algorithm={name}" for arm, name in ARMS.items()}, overrides),
                ("report", *map(str, runs.values()), "--out", str(folder / "report" / "index.html")),
            ),
            folder / "report" / "index.html",
            (folder / "report" / "training.png", folder / "curves" / "verdicts.png"),
            lambda _: of_sweep(folder / "curves" / "sweep.json"),
        ),
        Figure(
            "cross_play",
            (
                (
                    *("arena", preset, *overrides, "--agents", ",".join([*others, agent])),
                    *("--episodes", str(scale.episodes), "--out", str(folder / "arena")),
                ),
            ),
            folder / "arena" / "arena.json",
            (folder / "arena" / "arena.png",),
            of_arena,
        ),
        Figure(
            "best_response",
            (
                (
                    *("best-response", preset, f"seed={scale.first}", *overrides),
                    *("--against", agent, "--run", str(folder / "best_response")),
                ),
            ),
            folder / "best_response" / "best_response.json",
            (folder / "best_response" / "report" / "best_response.png",),
            of_best_response,
        ),
        Figure(
            "ablations",
            (sweep(preset, scale, folder / "ablations", changes, overrides),),
            folder / "ablations" / "sweep.json",
            (folder / "ablations" / "measure.png", folder / "ablations" / "verdicts.png"),
            of_sweep,
        ),
    ]


def sweep(preset: str, scale: Scale, folder: Path, arms: dict[str, str], overrides: Sequence[str]) -> tuple[str, ...]:
    """The command that trains arms on all seeds."""
    named = [word for name, options in arms.items() for word in ("--arm", f"{name}: {options}")]
    return ("sweep", preset, *overrides, "--seeds", scale.seeds, *named, "--out", str(folder))


def of_sweep(path: Path) -> Table:
    """Per setting the measure and the verdicts of a sweep.json."""
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for setting in content["settings"]:
        shares = ", ".join(f"{word} {number(share)}" for word, share in setting["verdicts"].items())
        rows.append([setting["label"], number(setting["measures"].get(content["measure"])), shares])
    return ["", content["measure"], "verdicts, as shares of the seeds"], rows


def of_arena(path: Path) -> Table:
    """What the row gets from the column."""
    content = json.loads(path.read_text(encoding="utf-8"))
    labels = [agent["label"] for agent in content["agents"]]
    cells = {(cell["row"], cell["column"]): number(cell["reward"]) for cell in content["cells"]}
    return ["gets from", *labels], [
        [label, *(cells.get((i, j), "–") for j in range(len(labels)))] for i, label in enumerate(labels)
    ]


def of_best_response(path: Path) -> Table:
    """What the responder, a cooperator and the agent get."""
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = [["the responder", number(content["responder"]["reward"]), number(content["responder"]["agent_reward"])]]
    if other := content.get("cooperator"):
        rows.append([other["name"], number(other["reward"]), number(other["agent_reward"])])
    return ["against the agent", "gets", "the agent gets"], rows


def number(value: Any) -> str:
    """An estimate with its interval, or a dash."""
    if not isinstance(value, dict):
        return "–"
    low, high = value.get("low"), value.get("high")
    return f"{value['mean']:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low is not None and high is not None else "")


def run(figure: Figure, jobs: int) -> int:
    """Make a figure; the exit status of the first command that fails, or 0."""
    for command in figure.commands:
        more = ["--jobs", str(jobs)] if command[0] == "sweep" else []
        if status := subprocess.run([sys.executable, "-m", "detente.cli", *command, *more], check=False).returncode:
            return status
    return 0


def page(name: str, scale: Scale, made: dict[str, list[Figure]], folder: Path) -> Path:
    """Write the page of everything that is there."""
    parts = [{"game": game, "preset": scale.presets[game], "figures": [shown(f) for f in own]} for game, own in made.items()]
    path = folder / "index.html"
    folder.mkdir(parents=True, exist_ok=True)
    text = environment().from_string(PAGE).render(scale=name, here=scale.here, seeds=scale.seeds, parts=parts)
    path.write_text(text, encoding="utf-8")
    return path


def shown(figure: Figure) -> dict[str, Any]:
    """What the page says of a figure."""
    head, rows = figure.table(figure.result) if figure.done else ([], [])
    return {
        "title": TITLES[figure.name],
        "claim": CLAIMS[figure.name],
        "commands": [shlex.join(["detente", *command]) for command in figure.commands],
        "done": figure.done,
        "head": head,
        "rows": rows,
        "pictures": list(embedded(figure.pictures)) if figure.done else [],
    }


def embedded(pictures: Sequence[Path]) -> Iterator[str]:
    """Pictures as addresses that hold them."""
    for picture in pictures:
        if picture.exists():
            yield f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"


PAGE = """{% extends "layout.html" %}
{% block title %}The paper's experiments, {{ scale }}{% endblock %}
{% block header %}
  <p class="brand">detente · the paper's experiments</p>
  <h1>The paper's experiments at the scale {{ scale }}</h1>
  <p class="lead">What the paper claims, in words, beside what came out here. Its own numbers are of 7B models on a GPU
  and are not on this page. Seeds {{ seeds }}.
  {% if not here %}Nothing of this scale was run here: it needs a GPU of 80 GB.{% endif %}</p>
{% endblock %}
{% block main %}
{% for part in parts %}
<section class="section"><h2>{{ part.game }}</h2><p class="note">preset {{ part.preset }}</p>
{% for figure in part.figures %}
  <h3>{{ figure.title }}</h3>
  <p><b>The paper:</b> {{ figure.claim }}</p>
  {% if figure.done %}
  <p><b>Here:</b></p>
  <div class="scroll"><table>
    <thead><tr>{% for cell in figure.head %}<th{% if loop.first %} class="text"{% endif %}>{{ cell }}</th>{% endfor %}</tr></thead>
    <tbody>
    {% for row in figure.rows %}
      <tr><th class="text" scope="row">{{ row[0] }}</th>{% for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
    {% endfor %}
    </tbody>
  </table></div>
  {% for picture in figure.pictures %}
  <figure><img src="{{ picture }}" alt="{{ figure.title }}" style="max-width: min(100%, 40rem)"></figure>
  {% endfor %}
  {% else %}
  <p><b>Here:</b> not run.</p>
  {% endif %}
  <pre>{% for command in figure.commands %}{{ command }}
{% endfor %}</pre>
{% endfor %}
</section>
{% endfor %}
{% endblock %}
"""


def main() -> int:
    """Make every figure that is missing, then the page."""
    parser = argparse.ArgumentParser(description="The paper's experiments as a suite, on one page.")
    parser.add_argument("--scale", choices=SCALES, required=True)
    parser.add_argument("--game", action="append", help="only this one; may be repeated")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one thread each")
    parser.add_argument("--runs", type=Path, help="default: runs/paper/SCALE")
    parser.add_argument("--write", action="store_true", help="train nothing, write the page")
    parser.add_argument("overrides", nargs="*", help="options for every run and every game")
    given = parser.parse_args()
    scale = SCALES[given.scale]
    games, folder = given.game or [*scale.presets], given.runs or Path("runs/paper") / given.scale
    for game in games:
        if game not in scale.presets:
            parser.error(f"the scale {given.scale} has the games {', '.join(scale.presets)}, and no '{game}'")
    made = {game: figures(game, scale, folder / game, given.overrides) for game in games}
    status = 0
    for figure in [figure for own in made.values() for figure in own if not figure.done]:
        if status or given.write or not scale.here:
            break
        status = run(figure, given.jobs)
    print(f"Wrote {page(given.scale, scale, made, folder)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
