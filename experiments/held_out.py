"""How agents of the prisoner's dilemma rank among strategies that nobody trained against, and their exact values.

    python experiments/held_out.py [agents wide_pool]      # runs of experiments/evidence.py; default: those two

Every agent enters a tournament of its own, ranked as the Axelrod library ranks one: 30 strategies of the library, tit_for_tat and
the agent, everybody against everybody but oneself. The 30 were named before any tournament was played, and no training of these
experiments plays against one of them. An agent passes if its rank is at most one place behind that of tit_for_tat in the same
tournament. The exact values are totals over an episode: of the best response to the agent, and the least that an opponent can
leave it.

What comes is kept in docs/results/held_out.parquet, a row per agent; an agent that has a row, or whose run is not there, is not
played.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from detente.cli.terminal import explain
from detente.config import load
from detente.errors import UserError
from detente.evaluation.axelrod_ranking import ranking
from detente.evaluation.exploitability import exploitability
from detente.matches import Counted, in_turn, play_sync
from detente.policies import Policies
from detente.records import PolicyRef

NAMES = """
    Adaptive Alternator AntiTitForTat AverageCopier BackStabber Bully Cooperator CyclerCCD EvolvedFSM16 EvolvedLookerUp2_2_2
    FirmButFair FirstByDavis FirstByDowning FirstByFeld FirstByGrofman FirstByNydegger FirstByShubik FirstByTullock FoolMeOnce
    Forgiver GTFT GoByMajority Handshake LimitedRetaliate OmegaTFT Prober RemorsefulProber SecondByChampion SecondByTester
    SuspiciousTitForTat
"""
STRATEGIES = tuple(f"axelrod:{name}" for name in NAMES.split())
YARDSTICK = "tit_for_tat"
FIELD = (*STRATEGIES, YARDSTICK)
EPISODES = 10  # of each pair: the repetitions of the tournament
FILE = Path("docs/results/held_out.parquet")
PRESET = "ipd"

Points = dict[tuple[str, str], list[float]]  # (own, other) -> points per round in each repetition
Row = dict[str, Any]


def met(policies: Policies, names: tuple[str, str], sitting: tuple[PolicyRef, PolicyRef]) -> Points:
    """The points of both, as ``names``, when the two policies meet."""
    episodes = play_sync(policies, policies.game, in_turn(sitting, EPISODES), stream=Counted())
    return {(names[seat], names[1 - seat]): [episode.mean_reward(seat) for episode in episodes] for seat in (0, 1)}


def among_themselves(policies: Policies) -> Points:
    """The points of the field without an agent."""
    points: Points = {}
    for pair in combinations(FIELD, 2):
        points |= met(policies, pair, (policies.resolve(pair[0]), policies.resolve(pair[1])))
    return points


def entered(policies: Policies, agent: PolicyRef, field: Mapping[tuple[str, str], list[float]]) -> Row:
    """The places of an agent and of tit_for_tat in a tournament of the field and the agent, 1 is the best."""
    points = dict(field)
    for name in FIELD:
        points |= met(policies, ("agent", name), (agent, policies.resolve(name)))
    names = ["agent", *FIELD]
    ranks = ranking(names, [[points.get((own, other), []) for other in names] for own in names])
    row: Row = {"players": len(names)}
    for place, rank in enumerate(ranks, 1):
        if rank.name in ("agent", YARDSTICK):
            prefix = "" if rank.name == "agent" else f"{YARDSTICK}/"
            row |= {f"{prefix}rank": place, f"{prefix}points": rank.score}
    return row


def exact(policies: Policies, agent: PolicyRef) -> Row:
    """What a best response gets from the agent and the least that can be left to it: bounds, totals over an episode."""
    values = exploitability(policies, agent)
    gain = {} if values.gain is None else {"gain": values.gain}
    return {
        "best_response/low": values.value.low,
        "best_response/high": values.value.high,
        "floor/low": values.floor.low,
        "floor/high": values.floor.high,
        **gain,
    }


def agents(runs: Path, experiments: list[str]) -> Iterator[tuple[Row, str]]:
    """Every learner of every finished run: what it is, and the name under which it takes a seat."""
    for experiment in experiments:
        for folder in sorted((runs / experiment).glob("*-seed*")):
            if (folder / "summary.json").exists():
                for learner in sorted((folder / "adapters").iterdir()):
                    arm, _, seed = folder.name.rpartition("-seed")
                    about = {"experiment": experiment, "run": folder.name, "arm": arm, "seed": int(seed), "learner": learner.name}
                    yield about, str(learner)


def kept() -> list[Row]:
    """The rows of agents that were measured before."""
    return pq.read_table(FILE).to_pylist() if FILE.exists() else []


def keep(rows: list[Row]) -> None:
    """Write all rows, whole or not at all."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    partial = FILE.with_name(FILE.name + ".partial")
    ordered = sorted(rows, key=lambda row: (row["experiment"], row["arm"], row["seed"], row["learner"]))
    pq.write_table(pa.Table.from_pylist(ordered), partial)
    partial.replace(FILE)


def table(rows: list[Row]) -> str:
    """A Markdown table, a line per agent."""
    heads = ["experiment", "arm", "seed", "learner", "rank", "tit_for_tat's", "points", "tit_for_tat's", "best response", "floor"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        values = [row[key] for key in ("experiment", "arm", "seed", "learner", "rank", f"{YARDSTICK}/rank")]
        points = [f"{row[key]:.2f}" for key in ("points", f"{YARDSTICK}/points")]
        bounds = [f"{row[f'{value}/low']:.2f} to {row[f'{value}/high']:.2f}" for value in ("best_response", "floor")]
        lines.append(f"| {' | '.join(map(str, [*values, *points, *bounds]))} |")
    return "\n".join(lines)


def verdicts(rows: list[Row]) -> str:
    """Of how many agents of each kind the rank is at most one place behind that of tit_for_tat."""
    lines = []
    for experiment, arm in dict.fromkeys((row["experiment"], row["arm"]) for row in rows):
        own = [row for row in rows if (row["experiment"], row["arm"]) == (experiment, arm)]
        passed = sum(row["rank"] <= row[f"{YARDSTICK}/rank"] + 1 for row in own)
        lines.append(f"{experiment}, {arm}: {passed} of {len(own)} agents rank at most one place behind {YARDSTICK}")
    return "\n".join(lines)


def main() -> int:
    """Measure every agent that has no row, and print all rows."""
    parser = argparse.ArgumentParser(description="Rank trained agents among strategies that nobody trained against.")
    parser.add_argument("experiments", nargs="*", help="of experiments/evidence.py (default: agents wide_pool)")
    parser.add_argument("--runs", type=Path, default=Path("runs/evidence"), help="where their run folders are")
    given = parser.parse_args()
    rows = kept()
    measured = {(row["experiment"], row["run"], row["learner"]) for row in rows}
    waiting = [
        (about, name)
        for about, name in agents(given.runs, given.experiments or ["agents", "wide_pool"])
        if (about["experiment"], about["run"], about["learner"]) not in measured
    ]
    try:
        if not rows and not waiting:
            raise UserError(f"There is no finished run in {given.runs}; train some with: python experiments/evidence.py agents")
        if waiting:
            with closing(Policies.of(load(PRESET, ["threads=1"]))) as policies:
                field = among_themselves(policies)
                for number, (about, name) in enumerate(waiting, 1):
                    print(f"{about['run']}, {number} of {len(waiting)}", file=sys.stderr)
                    agent = policies.resolve(name)
                    rows.append(about | entered(policies, agent, field) | exact(policies, agent))
                    keep(rows)
    except UserError as error:
        sentence, status = explain(error)
        print(sentence, file=sys.stderr)
        return status
    print(f"{table(kept())}\n\n{verdicts(kept())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
