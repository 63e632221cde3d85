from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from detente.errors import UserError
from detente.reports import report
from tests.reports.make_run import HOSTILE, make_run


class Page(HTMLParser):
    """The page as a browser takes it: the texts of the table rows, the ids, every address it would load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.json = ""
        self._in = ""
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append(tag)
        self.ids += [known["id"]] if known.get("id") else []  # type: ignore[list-item]
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "action")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in = "cell"
        if known.get("id") == "episodes":
            self._in = "json"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "script"):
            self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "json":
            self.json += data
        elif self._in == "cell":
            self.rows[-1][-1] += data.strip()

    def row(self, name: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == name)


def test_the_comparison_has_every_section(comparison: Path) -> None:
    page = Page(comparison)
    assert {"outcome", "training", "behaviour", "against", "opponents", "transcripts", "diagnostics", "options"} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") > 15


def test_the_page_loads_nothing(comparison: Path) -> None:
    page = Page(comparison)
    assert all(address.startswith(("#", "data:")) for address in page.loads)
    assert not re.search(r"https?://|@import|url\((?!#)", page.html)
    assert comparison.stat().st_size < 3_000_000


def test_the_numbers_are_those_of_the_files(comparison: Path, runs: tuple[Path, Path]) -> None:
    page = Page(comparison)
    for run, word in zip(runs, ("mutual defection", "reciprocator"), strict=True):
        main = json.loads((run / "summary.json").read_text())["learners"]["main"]
        numbers = [
            main["self_play"]["reward"],
            main["self_play"]["cooperation_rate"],
            *(main["cooperate_given"][c] for c in ("CC", "CD")),
        ]
        pairs = [f"{each['reward']:.2f}/ {each['opponent_reward']:.2f}" for each in main["against"].values()]
        assert page.row(run.name) == [run.name, word, *(f"{x:.2f}" for x in numbers), *pairs]
    assert page.row("tit_for_tat")[:5] == ["tit_for_tat", "reference", "3.00", "1.00", "1.00"]
    assert page.row("tit_for_tat")[6:9] == ["3.00/ 3.00", "0.90/ 1.40", "3.00/ 3.00"]
    assert page.row("credit.beta") == ["credit.beta", "1", "2"]


def test_the_anchors_are_labelled_on_the_reward_curve(comparison: Path) -> None:
    drawing = Page(comparison).html
    for label in ("cooperation 3", "defection 1", "always_defect 0.9"):
        assert f">{label}<" in drawing


def test_what_a_model_said_stays_text(comparison: Path) -> None:
    page = Page(comparison)
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    said = [
        turn["answer"]
        for run in json.loads(page.json)
        for e in run["episodes"]
        for r in e["rounds"]
        for row in r["rows"]
        for turn in row
    ]
    assert HOSTILE in said


def test_a_png_of_each_plot_lies_beside_the_page(runs: tuple[Path, Path]) -> None:
    page = report([runs[0]])
    assert page == runs[0] / "report" / "index.html"
    pictures = sorted(path.name for path in page.parent.glob("*.png"))
    assert pictures == ["against.png", "behaviour.png", "diagnostics.png", "opponents.png", "training.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in page.parent.glob("*.png"))


def test_a_young_run_gives_a_page(tmp_path: Path) -> None:
    page = Page(report([make_run(tmp_path / "young", done=1, summary=False)]))
    assert "unfinished" in page.html
    assert "against" not in page.ids
    empty = make_run(tmp_path / "empty", done=0, summary=False)
    assert "training" not in Page(report([empty])).ids


def test_another_game_shows_what_it_measures(tmp_path: Path) -> None:
    """A game of no known family: other measures, no cooperative action, no conditions."""
    folder = make_run(tmp_path / "split", iterations=3, overrides={"game": {"name": "matching_pennies"}})
    keys = {"reward/main": 27.5, "self_play/efficiency/main": 0.55, "self_play/ask_higher/main": 10.0}
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"iteration": i, **keys}) + "\n" for i in (1, 2)))
    main = {
        "algorithm": "reinforce",
        "self_play": {"reward": 27.5, "efficiency": 0.55},
        "against": {"random": {"reward": 30.0, "opponent_reward": 20.0}},
    }
    (folder / "summary.json").write_text(json.dumps({"learners": {"main": main}}))
    page = Page(report([folder]))
    assert "Efficiency in self-play" in page.html
    assert "behaviour" not in page.ids
    assert page.row("split") == ["split", "27.50", "0.55", "30.00/ 20.00"]


def test_an_opponent_that_is_no_script_has_no_reference(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "odd", iterations=1)
    summary = json.loads((folder / "summary.json").read_text())
    summary["learners"]["main"]["against"] = {"a$b <i>": {"reward": 2.0}}
    (folder / "summary.json").write_text(json.dumps(summary))
    page = Page(report([folder]))
    assert page.row("odd")[-1] == "2.00/ –"
    assert next(row for row in page.rows if row[:2] == ["tit_for_tat", "reference"])[-1] == "–/ –"
    assert "<i>" not in page.html


def test_two_learners_are_told_apart(blank: None, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "pair", iterations=2)
    summary = json.loads((folder / "summary.json").read_text())
    summary["learners"] = {"first": summary["learners"]["main"], "second": summary["learners"]["main"]}
    (folder / "summary.json").write_text(json.dumps(summary))
    page = Page(report([folder]))
    assert page.row("pair · first")[1:] == page.row("pair · second")[1:]


def test_partners_points_stand_beside_ones_own(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "pair", iterations=2)
    summary = json.loads((folder / "summary.json").read_text())
    summary["learners"]["main"] |= {"partners": {"main": 2.0, "runs/<b>other": 0.375}}
    summary["learners"]["main"]["self_play"]["reward"] = 8.875
    (folder / "summary.json").write_text(json.dumps(summary))
    page = Page(report([folder]))
    assert "8.88/ 0.38" in page.row("pair")
    assert "runs/&lt;b&gt;" in page.html.replace("<wbr>", "")


def test_points_against_somebody_else_are_no_verdict(blank: None, tmp_path: Path) -> None:
    alone, shared = make_run(tmp_path / "alone", iterations=2), make_run(tmp_path / "shared", iterations=2)
    options = yaml.safe_load((shared / "config.yaml").read_text()) | {"seats": ["main", "always_defect"]}
    (shared / "config.yaml").write_text(yaml.safe_dump(options))
    assert 'class="verdict"' in Page(report([str(alone)])).html
    assert 'class="verdict"' not in Page(report([shared])).html


def test_rows_of_references_have_as_many_cells_as_those_of_runs(blank: None, tmp_path: Path) -> None:
    """Also where runs of different games are not judged, so that there is no column of verdicts."""
    short, long = make_run(tmp_path / "short", iterations=2), make_run(tmp_path / "long", iterations=2)
    options = yaml.safe_load((short / "config.yaml").read_text())
    (short / "config.yaml").write_text(yaml.safe_dump(options | {"game": options["game"] | {"rounds": 4}}))
    for runs in ([long], [short, long]):
        page = Page(report(runs))
        assert len(page.row("tit_for_tat")) == len(page.row("long"))


def test_no_runs_and_no_folder_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one run folder"):
        report([])
    with pytest.raises(UserError, match="There is no run folder"):
        report([tmp_path / "absent"])


def test_importing_reports_loads_neither_torch_nor_matplotlib() -> None:
    code = "import sys, detente.reports; print(sorted({'torch', 'transformers', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_page_draws_no_more_than_it_can_in_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detente.reports.sections.MOST_PLOTS", 3)
    rows = [{"iteration": i, f"vs/a{i}/reward/main": 1.0, **{f"other_{i}/{n}": n for n in range(200)}} for i in range(1, 40)]
    (tmp_path / "config.yaml").write_text("game: {name: ipd}\nseed: 0\n")
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    html = report([tmp_path], tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count("Only the first 3 are drawn; metrics.jsonl has them all.") == 2  # diagnostics, against others
