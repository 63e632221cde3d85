"""Whatever lies in a folder: a sentence or a result, soon. No fault of ours, no page that fails, no silence.

A seeded generator damages files that were whole, as text and as trees; the same seeds give the same damage every time.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from detente import cli, games, jsonl, play, web
from detente.errors import UserError
from detente.records import write_episodes
from detente.reports import sections
from tests.reports.make_run import make_run
from tests.web.make_arena import make_arena

SILENCE_S = 10.0
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 0.5, -0.0, 2**53, 2**63 - 1, 2**63, 10**30, 1e-300, 1e38, 1e99, 1e308, -1e308),
    *("", "x", "main", "0", "9" * 5000, "\0", "\x1b[2J", "</script>", "${oc.env:HOME}", "..:x", "a/b", "\u202e", "²", "!!int 3"),
    *([], {}, [[]], [None], ["x"], {"": None}, {"x": {"y": []}}, {"mean": 1}, list(range(3000))),
)
TEXTS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    lambda text, rng: text[: rng.randrange(len(text) + 1)],
    lambda text, rng: text[: (at := rng.randrange(len(text) + 1))] + bytes(rng.randrange(256) for _ in range(9)) + text[at:],
    lambda text, rng: text.replace(b"1", rng.choice([b"NaN", b"Infinity", b"-.inf", b"1e999", b"'", b"&a ", b"*a", b"!!x "])),
    lambda text, rng: rng.choice([b"", b"\n" * 9, b"null", b"{}", b"[]", b"3", b"\xff\xfe", b"\xef\xbb\xbf" + text, text + text]),
    lambda text, rng: text.replace(b":", b": " + b"[" * rng.choice([5, 40, 900, 5000]), 1),
    lambda text, rng: text.replace(b"\n", b"\n" + b"\n" * rng.choice([1, 1000]), 1) + b'"\xed\xa0\x80"',
)


def paths(tree: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to every value of a tree."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield (*here, key)
        yield from paths(value, (*here, key))


def odd(rng: random.Random) -> Any:
    value = rng.choice(ODD)
    for _ in range(rng.choice([0] * 9 + [20, 300])):
        value = [value]
    return value


def damaged(tree: Any, rng: random.Random) -> Any:
    """A copy of a tree in which one value is another, or gone."""
    copy = json.loads(json.dumps(tree))
    *way, key = rng.choice(list(paths(copy)))
    inner = copy
    for step in way:
        inner = inner[step]
    if rng.random() < 0.2:
        del inner[key]
    else:
        inner[key] = odd(rng)
    return copy


def versions(whole: bytes, load: Callable[[bytes], Any], dump: Callable[[Any], str], count: int, seed: int) -> Iterator[bytes]:
    """Damaged versions of a file."""
    rng, tree = random.Random(seed), load(whole)
    for number in range(count):
        if number % 3 == 0:
            yield rng.choice(TEXTS)(whole, rng)
        else:
            yield dump(damaged(tree, rng)).encode(errors="surrogatepass")


@contextmanager
def soon(what: object) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SILENCE_S, what


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and an arena, both whole."""
    root = tmp_path_factory.mktemp("fuzz") / "runs"
    make_run(root / "run", iterations=4, every=2)
    make_arena(root / "meeting", ["tit_for_tat", "always_defect"])
    write_episodes(root / "run" / "episodes" / "000009.jsonl", play("trust_and_split", ["greedy", "welfare"], episodes=2))
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "runs"))


@pytest.fixture
def client(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(sections, "svg", lambda *_: "")  # drawing has a test of its own, and takes long
    with TestClient(web.build(root), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


EVERYWHERE = ("/", "/rows", "/play")
PAGES = {
    "run/config.yaml": ("/run?run=run", "/part?run=run&name=outcome", "/part?run=run&name=options", "/transcripts?in=run"),
    "run/metrics.jsonl": ("/run?run=run", "/part?run=run&name=training", "/part?run=run&name=outcome"),
    "run/summary.json": ("/run?run=run", "/part?run=run&name=outcome", "/part?run=run&name=against"),
    "run/episodes/000009.jsonl": (
        "/transcripts?in=run",
        "/transcripts?in=run&text=a&invalid=1",
        "/episode?file=run/episodes/000009.jsonl&n=0",
    ),
    "meeting/arena.json": ("/arena?in=meeting", "/arena?in=meeting&measure=opponent_reward", "/transcripts?in=meeting&cell=0-1"),
}
LOAD: dict[str, Callable[[bytes], Any]] = {
    ".yaml": yaml.safe_load,
    ".json": json.loads,
    ".jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
}
DUMP: dict[str, Callable[[Any], str]] = {
    ".yaml": lambda tree: yaml.safe_dump(tree),
    ".json": json.dumps,
    ".jsonl": lambda tree: "".join(json.dumps(line) + "\n" for line in (tree if isinstance(tree, list) else [tree])),
}


@pytest.mark.parametrize("name", PAGES)
def test_no_page_fails_whatever_a_file_holds(name: str, root: Path, client: TestClient) -> None:
    file = root / name
    for version in versions(file.read_bytes(), LOAD[file.suffix], DUMP[file.suffix], 60, seed=len(name)):
        file.write_bytes(version)
        for address in (*EVERYWHERE[:1], *PAGES[name]):
            with soon((address, version[:300])):
                answer = client.get(address)
            assert answer.status_code in (200, 404, 422), (address, version[:300], answer.text[-600:])


@pytest.mark.parametrize("name", ["run/config.yaml", "run/metrics.jsonl", "run/summary.json", "run/episodes/000009.jsonl"])
def test_reports_and_exports_say_what_is_wrong(name: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sections, "svg", lambda *_: "")
    monkeypatch.setattr("detente.reports.plots.save", lambda *_: None)
    monkeypatch.setattr(sections, "figure", lambda *_, **__: None)
    file = root / name
    for version in versions(file.read_bytes(), LOAD[file.suffix], DUMP[file.suffix], 15, seed=7 + len(name)):
        file.write_bytes(version)
        for words in (["report", str(root / "run")], ["export", str(root / "run")]):
            with soon((words, version[:300])):
                status = cli.main(words)
            said = capsys.readouterr().err
            assert status in (0, 2), (words, version[:300], said)
            assert said.count("\n") == (status == 2), said


def test_presets_and_run_folders_as_presets(root: Path, tmp_path: Path, capsys: Any) -> None:
    file = root / "run" / "config.yaml"
    tree = yaml.safe_load(file.read_bytes()) | {"algorithms": {"reinforce": {"seed": 3}}, "extends": "ipd", "device": "cpu"}
    for version in versions(yaml.safe_dump(tree).encode(), yaml.safe_load, yaml.safe_dump, 150, seed=1):
        (tmp_path / "one.yaml").write_bytes(version)
        with soon(version[:300]):
            status = cli.main(["train", str(tmp_path / "one.yaml"), "--dry-run"])
        said = capsys.readouterr().err
        assert status in (0, 2), (version[:3000], said)
        assert said.count("\n") == (status == 2), said


@pytest.mark.parametrize(
    "key", ["iterations", "optimizer.lr", "game", "game.rounds", "seats", "learners", "answer.request", "a.b", ""]
)
def test_values_on_the_command_line(key: str, capsys: Any) -> None:
    rng = random.Random(len(key))
    for value in [
        "&a [*a]",
        "{a: &x 1, b: *x}",
        "!!python/name:os.system",
        "${oc.env:HOME}",
        "[" * 5000,
        ".inf",
        *map(repr, ODD[:-1]),
    ]:
        with soon(value[:99]):
            status = cli.main(["train", "ipd", f"{key}={value}", *(["seed=3"] if rng.random() < 0.5 else []), "--dry-run"])
        assert status in (0, 2), (key, value[:99], capsys.readouterr().err)


@pytest.mark.parametrize("name", games.GAMES)
def test_no_parameters_that_a_file_gives_a_game_fail(name: str) -> None:
    payoffs = {"payoffs": [[[3, 3], [0, 5]], [[5, 0], [1, 1]]]} if name == "matrix" else {}
    whole = games.make(name, **payoffs).parameters()
    rng = random.Random(name)
    for _ in range(150):
        parameters = damaged({"game": whole}, rng).get("game")
        if isinstance(parameters, dict):
            with soon(str(parameters)[:300]):
                games.recorded(parameters)


@pytest.mark.parametrize("file", ["adapter_config.json", "detente.json"])
def test_adapter_folders(file: str, small_run: Path, tmp_path: Path) -> None:
    from detente.options import AnswerOptions
    from detente.policies import Policies

    folder = Path(shutil.copytree(small_run / "adapters" / "main" / "000002", tmp_path / "adapter"))
    table = Policies(games.make("ipd"), AnswerOptions(), device="cpu")
    table.resolve(str(small_run))
    for number, version in enumerate(versions((folder / file).read_bytes(), json.loads, json.dumps, 25, seed=5)):
        received = Path(shutil.copytree(folder, tmp_path / str(number)))
        (received / file).write_bytes(version)
        with soon(version[:300]):
            try:
                table.resolve(str(received))
            except UserError as error:
                assert "\n" not in str(error)  # noqa: PT017
                assert str(error)[-1] in ".?"  # noqa: PT017


THINGS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("name", [*PAGES, "run/adapters", "run/episodes", "played", "meeting/episodes"])
def test_other_things_in_the_place_of_files(thing: str, name: str, root: Path, client: TestClient, capsys: Any) -> None:
    shutil.copytree(root / "run", root / "good")
    path = root / name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    THINGS[thing](path)
    for address in (*EVERYWHERE, *PAGES.get(name, ("/transcripts?in=played", "/run?run=run", "/transcripts?in=run"))):
        with soon(address):
            answer = client.get(address)
        assert answer.status_code in (200, 404, 422), (address, answer.text[-600:])
    assert "good" in client.get("/").text
    if name.startswith("run/"):
        for words in (["export", str(root / "run")], ["train", str(root / "run"), "--dry-run"]):
            with soon(words):
                assert cli.main(words) in (0, 2), capsys.readouterr().err


def test_names_of_folders_that_are_no_text(root: Path, client: TestClient) -> None:
    for name in (b"\xff\xfe", b"a\x1b[2Jb", "\u202eevil".encode(), b"a,b@3"):
        shutil.copytree(root / "run", os.path.join(os.fsencode(root), name).decode(errors="surrogateescape"))
    for address in EVERYWHERE:
        answer = client.get(address)
        assert answer.status_code == 200, answer.text[-600:]
    assert "meeting" in client.get("/").text


@pytest.mark.parametrize("number", ["9" * 5000, "²", "-1", "1e9", "١", ""])
def test_numbers_in_addresses(number: str, client: TestClient) -> None:
    for address in ("/transcripts?in=run&iteration=N", "/transcripts?in=run&from=N.N", "/transcripts?in=run&before=N.0"):
        assert client.get(address.replace("N", number)).status_code == 200
    answer = client.get(f"/episode?file=run/episodes/000009.jsonl&n={number}")
    assert answer.status_code == 404


def test_alias_bombs_and_blank_lines_are_answered_at_once(root: Path, client: TestClient) -> None:
    import gzip

    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    (root / "run" / "config.yaml").write_text(f"game: {{name: ipd}}\n{bomb}")
    (root / "blank.jsonl.gz").write_bytes(gzip.compress(b"\n" * (jsonl.MOST_LINES + 9)))
    for address in (*EVERYWHERE, "/run?run=run", "/transcripts?in=blank.jsonl.gz", "/episode?file=blank.jsonl.gz"):
        began = time.monotonic()
        assert client.get(address).status_code in (200, 422)
        assert time.monotonic() - began < 5
    assert "anchor or an alias" in client.get("/").text
