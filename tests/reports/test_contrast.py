from __future__ import annotations

from pathlib import Path

from detente.reports import contrast_table
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
