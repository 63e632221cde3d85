"""What can be exported, what cannot and why, and that a failure leaves everything as it was."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import detente
from detente import cli
from detente.export import export
from detente.export.columns import TABLES
from detente.records import write_episodes

EPISODES = detente.play("ipd", ["tit_for_tat", "always_defect"], seed=3, episodes=3)
NAMES = ["episodes.parquet", "metrics.parquet", "turns.parquet"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small run, runs/mine, beneath the folder where the test stands."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/mine")
    write_episodes(folder / "episodes" / "000001.jsonl", EPISODES[:1])
    write_episodes(folder / "episodes" / "000011.jsonl", EPISODES[1:])
    (folder / "config.yaml").write_text("game: {name: ipd}\n")
    (folder / "metrics.jsonl").write_text(
        '{"iteration":1,"reward/main":1.5,"cooperate_given/main/CC":null}\n{"iteration":2,"loss":2}\n'
    )
    return folder


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def test_a_run_is_exported_into_its_own_folder(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(run)]) == 0
    assert sorted(path.name for path in (run / "export").iterdir()) == NAMES
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition(",")[0] for line in lines] == [
        "Wrote runs/mine/export/turns.parquet: 60 rows",
        "Wrote runs/mine/export/episodes.parquet: 6 rows",
        "Wrote runs/mine/export/metrics.parquet: 3 rows",
    ]
    places = [(row["file"], row["line"]) for row in rows(run / "export" / "episodes.parquet")[::2]]
    assert places == [("episodes/000001.jsonl", 1), ("episodes/000011.jsonl", 1), ("episodes/000011.jsonl", 2)]
    assert rows(run / "export" / "metrics.parquet") == [
        {"source": "runs/mine", "iteration": 1, "metric": "reward/main", "value": 1.5},
        {"source": "runs/mine", "iteration": 1, "metric": "cooperate_given/main/CC", "value": None},
        {"source": "runs/mine", "iteration": 2, "metric": "loss", "value": 2.0},
    ]


def test_several_sources_are_told_apart(run: Path) -> None:
    write_episodes(Path("played.jsonl"), EPISODES)
    assert cli.main(["export", "runs/mine", "played.jsonl"]) == 0
    found = rows(Path("export/episodes.parquet"))
    assert [row["source"] for row in found] == ["runs/mine"] * 6 + ["played.jsonl"] * 6
    assert cli.main(["export", "played.jsonl", "--out", "deep/er"]) == 0
    assert sorted(path.name for path in Path("deep/er").iterdir()) == NAMES


def test_a_second_export_takes_the_place_of_the_first(run: Path) -> None:
    export([run])
    before = contents(run)
    write_episodes(run / "episodes" / "000021.jsonl", EPISODES)
    assert {table.path.name: table.rows for table in export([run]).tables}["episodes.parquet"] == 12
    assert len(rows(run / "export" / "episodes.parquet")) == 12
    assert contents(run).keys() == before.keys() | {run / "episodes" / "000021.jsonl"}


@pytest.mark.parametrize("begun", ["config.yaml", "metrics.jsonl", "arena.yaml"])
def test_an_empty_run_gives_empty_tables(begun: str, tmp_path: Path) -> None:
    (tmp_path / begun).touch()
    found = export([tmp_path])
    assert [table.rows for table in found.tables] == [0, 0, 0]
    for table in found.tables:
        assert pq.read_table(table.path).num_rows == 0
        assert pq.read_schema(table.path).names == [column.name for column in TABLES[table.path.stem]]


def test_an_empty_file_of_episodes_gives_empty_tables(tmp_path: Path) -> None:
    (tmp_path / "played.jsonl").touch()
    assert [table.rows for table in export([tmp_path / "played.jsonl"]).tables] == [0, 0, 0]


def cut(path: Path, end: int) -> None:
    """Cut the file after its last line's first ``end`` bytes; a negative number counts from the line's end."""
    *whole, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole) + last[:end])


@pytest.mark.parametrize("end", [1, 2, 40, 1000, -2])
def test_the_unfinished_last_line_of_a_killed_run_is_left_out(end: int, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (run / "episodes" / "000011.jsonl", run / "metrics.jsonl"):
        cut(path, min(end, 20) if path.name == "metrics.jsonl" else end)
    assert cli.main(["export", str(run)]) == 0
    said = capsys.readouterr().out
    assert "Left out the unfinished last line of runs/mine/episodes/000011.jsonl\n" in said
    assert "Left out the unfinished last line of runs/mine/metrics.jsonl\n" in said
    assert {row["line"] for row in rows(run / "export" / "turns.parquet")} == {1}
    assert {row["iteration"] for row in rows(run / "export" / "metrics.parquet")} == {1}


def test_a_line_that_was_cut_inside_a_letter_is_left_out(run: Path) -> None:
    path = run / "episodes" / "000011.jsonl"
    text = '{"game":{"name":"鍵'.encode()
    path.write_bytes(path.read_bytes() + text[:-1])
    assert export([run]).unfinished == (path,)
    assert len(rows(run / "export" / "episodes.parquet")) == 6


def test_a_last_line_that_only_lacks_its_newline_is_whole(run: Path) -> None:
    cut(run / "episodes" / "000011.jsonl", -1)
    cut(run / "metrics.jsonl", -1)
    found = export([run])
    assert (found.unfinished, [table.rows for table in found.tables]) == ((), [60, 6, 3])


def pack(run: Path) -> Path:
    """Compress the files of the run, as runs have them; the path of the last one."""
    for path in (run / "episodes").glob("*.jsonl"):
        path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return run / "episodes" / "000011.jsonl.gz"


def test_compressed_files_give_the_same_tables(run: Path) -> None:
    export([run])
    names = ("turns", "episodes", "metrics")
    plain = {name: rows(run / "export" / f"{name}.parquet") for name in names}
    pack(run)
    seen: list[tuple[int, int]] = []
    assert export([run], None, lambda done, total: seen.append((done, total))).unfinished == ()
    for name in names:
        same = [
            row | ({"file": row["file"].removesuffix(".gz")} if "file" in row else {})
            for row in rows(run / f"export/{name}.parquet")
        ]
        assert same == plain[name]
    assert {row["file"] for row in rows(run / "export" / "turns.parquet")} == {
        f"episodes/{n}.jsonl.gz" for n in ("000001", "000011")
    }
    size = sum(path.stat().st_size for path in [*run.glob("episodes/*.jsonl.gz"), run / "metrics.jsonl"])
    assert seen == sorted(seen)
    assert seen[-1] == (size, size)


@pytest.mark.parametrize("end", [5, 300, -1])
def test_a_compressed_file_of_a_killed_run_is_read_as_far_as_it_goes(
    end: int, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pack(run)
    whole = path.read_bytes()
    path.write_bytes(whole[:end])
    complete = zlib.decompressobj(wbits=31).decompress(whole[:end]).count(b"\n")
    assert cli.main(["export", str(run)]) == 0
    assert f"Left out the unfinished last line of {path}\n" in capsys.readouterr().out
    assert len(rows(run / "export" / "episodes.parquet")) == 2 * (1 + complete)


def test_a_compressed_file_that_is_damaged_is_named_and_nothing_is_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = pack(run)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + b"????" + whole[-4:])
    assert cli.main(["export", str(run)]) == 2
    said = capsys.readouterr()
    assert said.err == f"{path} cannot be unpacked after line 2; mend or remove it to read the rest.\n"
    assert (said.out, (run / "export").exists()) == ("", False)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["runs/none"], "There is no run folder, arena folder or file of episodes runs/none."),
        (["runs"], "The folder runs holds nothing that was recorded: "),
        (["notes.txt"], "notes.txt is no file of episodes: it should end in .jsonl, "),
        (["runs/mine", "./runs/mine"], "runs/mine is named twice; "),
        (["runs/mine", "link"], "link is named twice; "),
        (["runs/mine", "--out", "notes.txt"], "The tables cannot go to notes.txt: notes.txt is a file and no folder."),
        (["runs/mine", "--out", "notes.txt/deep"], "The tables cannot go to notes.txt/deep: notes.txt is a file and no folder."),
        ([], "Missing argument 'SOURCE'"),
    ],
)
def test_what_cannot_be_exported_is_answered_by_one_sentence(
    words: list[Any], sentence: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("notes.txt").write_text("Mine.")
    Path("link").symlink_to("runs/mine")
    before = contents(Path())
    assert cli.main(["export", *words]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(sentence)
    assert (said.err.count("\n"), said.out) == (1, "")
    assert contents(Path()) == before


WHOLE = EPISODES[0].to_json()
DAMAGE = {
    "cut": (WHOLE[:300], "is no episode: no JSON: "),
    "not text": (b"\xff\xfe{}", "is no text in UTF-8: "),
    "no episode": ('{"seed": 1}', "is no episode: it has no 'game'"),
    "a list": ("[1, 2]", "is no episode: "),
    "an option more": (json.dumps(json.loads(WHOLE) | {"colour": "red"}), "is no episode: "),
    "no name of a game": (json.dumps(json.loads(WHOLE) | {"game": {}}), "is no episode: it has no 'name'"),
    "a game that is a list": (json.dumps(json.loads(WHOLE) | {"game": [1]}), "is no episode: "),
    "a seed in words": (json.dumps(json.loads(WHOLE) | {"seed": "one"}), "is no episode: "),
    "a seed too large": (json.dumps(json.loads(WHOLE) | {"seed": 2**63}), "is no episode: "),
    "half a letter": (json.dumps(json.loads(WHOLE) | {"game": {"name": "\ud800"}}), "is no episode: "),
    "too deep": ("[" * 100_000, "is no episode: "),
    "too few rewards": (WHOLE.replace('"rewards":[0.0,5.0]', '"rewards":[]'), "is no episode: "),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("before", [False, True], ids=["the first export", "a later export"])
def test_a_damaged_line_is_named_and_nothing_is_written(
    damage: str, before: bool, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if before:
        export([run])
    line, sentence = DAMAGE[damage]
    assert line != WHOLE
    path = run / "episodes" / "000011.jsonl"
    first, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + (line if isinstance(line, bytes) else line.encode()) + b"\n" + last)  # type: ignore[attr-defined]
    there = contents(run)
    assert cli.main(["export", str(run)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"Line 2 of runs/mine/episodes/000011.jsonl {sentence}")
    assert said.err.endswith("; mend or remove it to read the rest.\n")
    assert (said.err.count("\n"), said.out) == (1, "")
    assert contents(run) == there


@pytest.mark.parametrize("line", ['{"reward": 1}', '{"iteration": 1, "x": {}}', '{"iteration": "one", "x": 1}', "3"])
def test_a_damaged_line_of_metrics_is_named(line: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "metrics.jsonl"
    path.write_text(f"{line}\n{path.read_text()}")
    assert cli.main(["export", str(run), "--out", "new/tables"]) == 2
    assert capsys.readouterr().err.startswith("Line 1 of runs/mine/metrics.jsonl is no line of metrics: ")
    assert not Path("new").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_export_that_is_stopped_leaves_everything_as_it_was(error: type, run: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == total:  # everything is read, and the tables hold it
            raise error

    before = contents(Path())
    with pytest.raises(error):
        export([run], Path("new/tables"), stop)
    assert contents(Path()) == before
    (made := Path("mine")).mkdir()
    with pytest.raises(error):
        export([run], made / "tables", stop)
    assert list(made.iterdir()) == []


def test_progress_ends_where_the_files_end(run: Path) -> None:
    seen: list[tuple[int, int]] = []
    export([run], None, lambda done, total: seen.append((done, total)))
    size = sum(path.stat().st_size for path in [*run.glob("episodes/*.jsonl"), run / "metrics.jsonl"])
    assert seen == sorted(seen)
    assert (len(seen), seen[-1]) == (5, (size, size))
