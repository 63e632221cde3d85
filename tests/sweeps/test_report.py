"""Tables, pictures and the page of a sweep, from outcomes that were made up."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detente import cli
from detente.errors import UserError
from detente.evaluation.statistics import over_seeds, share
from detente.reports.sweep import sweep_page, verdict_picture
from detente.sweeps import outcomes as results
from detente.sweeps.table import summary
from tests.browsing import browser, fits, open_address  # noqa: F401
from tests.sweeps.made import outcomes


def test_every_setting_over_its_seeds() -> None:
    content = summary(outcomes())
    assert content["runs"] == {"done": 29, "failed": 1}
    assert content["not_done"] == {"credit.beta=4-credit.shaping=returns-seed4": "failed"}
    first, last = content["settings"][0], content["settings"][-1]
    assert (first["label"], first["seeds"]) == ("credit.beta=0.25, credit.shaping=causal", [0, 1, 2, 3, 4])
    assert first["measures"]["self_play/reward"] == over_seeds([0.25, 0.35, 0.45, 0.55, 0.65]).to_json()
    assert last["seeds"] == [0, 1, 2, 3]
    assert last["verdicts"] == {"reciprocator": share(4, 4).to_json()}
    assert content["tables"] == []


def test_a_cross_table_is_of_one_setting_a_cell_or_of_the_mean_over_several() -> None:
    (crossed,) = summary(outcomes(), rows="credit.beta", columns="credit.shaping")["tables"]
    assert crossed["columns"] == ["credit.shaping=causal", "credit.shaping=returns"]
    assert [line["label"] for line in crossed["lines"]] == ["credit.beta=0.25", "credit.beta=1", "credit.beta=4"]
    cell = crossed["lines"][1]["cells"][1]
    assert cell == over_seeds([0.5, 0.55, 0.6, 0.65, 0.7]).to_json() | {"settings": 1}
    (pooled,) = summary(outcomes(), "vs/always_defect/reward", rows="credit.shaping")["tables"]
    assert pooled["columns"] == ["vs/always_defect/reward"]
    assert [line["cells"][0]["settings"] for line in pooled["lines"]] == [3, 3]
    (by_seed,) = summary(outcomes(), columns="seed")["tables"]
    assert by_seed["rows"] == "credit.beta"
    assert by_seed["lines"][0]["cells"][0]["mean"] == pytest.approx((0.25 + 0.125) / 2)
    assert by_seed["lines"][0]["cells"][0]["low"] is None


def test_a_panel_for_every_option() -> None:
    beta, form = summary(outcomes())["panels"]
    assert (beta["option"], beta["values"]) == ("credit.beta", ["0.25", "1", "4"])
    assert [line["label"] for line in beta["lines"]] == ["credit.shaping=causal", "credit.shaping=returns"]
    assert form["lines"][2]["estimates"][0]["mean"] == pytest.approx(4.2)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"measure": "self_play/rewrd"}, "There is no measure 'self_play/rewrd'; did you mean 'self_play/reward'?"),
        (
            {"rows": "credit.bta"},
            "There is no swept option 'credit.bta'; there are: credit.beta, credit.shaping, seed; did you mean 'credit.beta'?",
        ),
        ({"rows": "seed", "columns": "seed"}, "Rows and columns are two different options, not seed twice."),
    ],
)
def test_tables_that_are_none(words: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        summary(outcomes(), **words)
    assert str(caught.value) == sentence


def test_nothing_is_done_yet() -> None:
    made = outcomes()
    waiting = replace(made, rows=[row | {"status": "stopped"} for row in made.rows])
    with pytest.raises(UserError, match="No run of this sweep is done yet"):
        summary(waiting)


def test_a_file_comes_back_as_it_was_written_and_always_in_the_same_bytes(tmp_path: Path) -> None:
    made = outcomes()
    results.write(made, tmp_path / "first.parquet")
    results.write(results.read(tmp_path / "first.parquet"), tmp_path / "second.parquet")
    assert (tmp_path / "first.parquet").read_bytes() == (tmp_path / "second.parquet").read_bytes()
    back = results.read(tmp_path / "first.parquet")
    assert back.sweep == made.sweep
    assert [{name: row[name] for name in own} for row, own in zip(back.rows, made.rows, strict=True)] == made.rows


def test_values_of_several_types_are_texts(tmp_path: Path) -> None:
    runs = {f"r{number}": {"lora.targets": value, "seed": 0} for number, value in enumerate(["all-linear", ["q", "v"], None])}
    sweep = {"preset": "ipd", "options": {}, "swept": ["lora.targets", "seed"], "arms": {}, "runs": runs}
    collected = results.collected(tmp_path, sweep, (), {"r1": "why"})
    assert [(row["lora.targets"], row["status"]) for row in collected.rows] == [
        (None, "missing"),
        ('["q", "v"]', "failed"),
        ("all-linear", "missing"),
    ]
    results.write(collected, tmp_path / "x.parquet")
    assert results.read(tmp_path / "x.parquet").rows == collected.rows


def test_the_command_draws_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "beta.parquet"
    results.write(outcomes(), file)
    assert cli.main(["sweep-report", str(file), "--rows", "credit.beta", "--columns", "credit.shaping"]) == 0
    said = capsys.readouterr().out
    assert "1.20 [1.00, 1.40]" in said
    assert "Not done: credit.beta=4-credit.shaping=returns-seed4 (failed)" in said
    folder = tmp_path / "beta"
    assert {path.name for path in folder.iterdir()} == {"index.html", "measure.png", "verdicts.png", "sweep.json"}
    assert json.loads((folder / "sweep.json").read_text()) == json.loads(
        json.dumps(summary(outcomes(), rows="credit.beta", columns="credit.shaping"))
    )
    shutil.copy(file, folder / "outcomes.parquet")
    assert cli.main(["sweep-report", str(folder), "--measure", "nothing"]) == 2
    assert "There is no measure 'nothing'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep whose learner and options try to break out of it."""
    hostile = "<img src=x onerror='document.title=\"taken\"'>"
    made = outcomes(learner=hostile)
    made = replace(made, sweep=dict(made.sweep) | {"options": {"model": hostile}})
    return sweep_page(tmp_path_factory.mktemp("sweep"), summary(made, rows="credit.beta", columns="credit.shaping"))


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_fits_and_runs_nothing(browser: Any, page: Path, width: int) -> None:  # noqa: F811
    open_address(browser, page.as_uri(), width)
    assert fits(browser, "figure, .card, .section") == []
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0
    assert "taken" not in browser.title
    assert browser.execute_script("return document.querySelectorAll('figure svg').length") == 3


def test_one_setting_has_no_panels() -> None:
    made = outcomes()
    same = [row for row in made.rows if (row["credit.beta"], row["credit.shaping"]) == (1, "causal")]
    rows = [{name: value for name, value in row.items() if not name.startswith("credit.")} for row in same]
    content = summary(replace(made, rows=rows, sweep=dict(made.sweep) | {"swept": ["seed"]}))
    assert (content["panels"], [line["label"] for line in content["settings"]]) == ([], [""])
    verdict_picture(content)
