from __future__ import annotations

import json
from pathlib import Path

from detente.reports import contrast_table, report
from tests.reports.make_run import make_run
from tests.reports.make_split_run import make_split_run


def test_contrast_table_sets_the_runs_side_by_side(tmp_path: Path) -> None:
    names = ("reinforce", "advantage_alignment", "sum_of_rewards")
    table = contrast_table([make_run(tmp_path / name, name, iterations=1) for name in names])
    cells = [list(column.cells) for column in table.columns]
    assert [str(cell) for cell in cells[0]] == list(names)
    assert cells[1:5] == [  # no column for the algorithm, which the names of the runs say
        ["1.02", "2.99", "2.98"],
        ["0.04", "0.99", "0.99"],
        ["0.02", "0.03", "0.98"],
        ["1.00 / 1.05", "0.90 / 1.40", "0.03 / 4.90"],
    ]
    assert cells[-1] == ["mutual defection", "reciprocator", "exploitable cooperator"]


def test_contrast_table_names_the_algorithm_where_the_runs_do_not(tmp_path: Path) -> None:
    table = contrast_table([make_run(tmp_path / name, iterations=1) for name in ("first", "reinforce")])
    assert [column.header for column in table.columns][:2] == ["run", "algorithm"]


def test_a_splitting_game_has_columns_of_its_own(tmp_path: Path) -> None:
    runs = [make_split_run(tmp_path / name, name, game="split_no_comm", done=0) for name in ("reinforce", "advantage_alignment")]
    table = contrast_table(runs)
    cells = {str(column.header): list(column.cells) for column in table.columns}
    assert cells["efficiency"][1] == "1.00"
    assert cells["asks,\nvalued\nless"] == ["10.00", "0.00"]
    assert cells["verdict"] == ["greedy", "cooperative and robust"]


def test_several_seeds_have_a_row_of_their_own(blank: None, tmp_path: Path) -> None:
    """Both made runs say the same but for what is written over the summary of one."""
    runs = [make_run(tmp_path / f"reinforce-seed{seed}", "reinforce", seed=seed, iterations=1) for seed in (0, 42)]
    path = runs[1] / "summary.json"
    summary = json.loads(path.read_text())
    summary["learners"]["main"]["self_play"]["reward"] = 1.04
    path.write_text(json.dumps(summary))
    cells = [list(column.cells) for column in contrast_table(runs).columns]
    assert str(cells[0][-1]) == "reinforce (2 seeds)"
    assert cells[1] == ["1.02", "1.04", "1.03\n[0.90, 1.16]"]  # half a width of 12.706 * 0.02 / sqrt 2 / sqrt 2
    assert cells[4][-1] == "1.00 / 1.05\n(all 2 alike)"
    assert cells[-1] == ["mutual defection", "mutual defection", "mutual defection\n1.00 [0.34, 1.00]"]
    page = report(runs, tmp_path / "report.html").read_text()
    assert 'mutual defection: 2 of 2<br><small class="muted">0.34 to 1.00</small>' in page
    assert '1.03<br><small class="muted">[0.90, 1.16]</small>' in page
    assert "Wilson" not in report(runs[:1]).read_text()


def test_invalid_answers_stand_beside_what_it_does_after_what(blank: None, tmp_path: Path) -> None:
    """Only where there are any."""
    runs = [make_run(tmp_path / name, name, iterations=1) for name in ("reinforce", "advantage_alignment")]
    for run, share in zip(runs, (0.25, 0.0), strict=True):
        summary = json.loads((run / "summary.json").read_text())
        summary["learners"]["main"]["invalid"] = share
        (run / "summary.json").write_text(json.dumps(summary))
    cells = {str(column.header): list(column.cells) for column in contrast_table(runs).columns}
    assert cells["invalid"] == ["0.25", "0.00"]
    assert "invalid<small>" in report(runs, tmp_path / "report.html").read_text()
    assert "invalid" not in [str(column.header) for column in contrast_table(runs[1:]).columns]
    assert "invalid<small>" not in report(runs[1:]).read_text()
