"""Event files as TensorBoard's own reader reads them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ALL = {"scalars": 0, "tensors": 0, "images": 0}


def read(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run / "trackers" / "tensorboard"), ALL).Reload()


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    events = read(run)
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def text(run: Path, tag: str) -> str:
    return str(read(run).Tensors(tag)[-1].tensor_proto.string_val[0].decode())


def rewards(count: int) -> list[tuple[int, float]]:
    return [(iteration, iteration / 4) for iteration in range(1, count + 1)]


def test_its_own_reader_finds_numbers_options_and_summary(begun: Callable[[str], Any]) -> None:
    run = begun("tensorboard")
    watcher = run.resume(0)
    for iteration in (1, 2, 3):
        run.iterate([watcher], iteration)
    run.finish(watcher)
    watcher.close()
    assert scalars(run.path) == {"reward/main": rewards(3), "time/total_s": [(1, 0.5), (2, 0.5), (3, 0.5)]}
    assert "| lora.rank | 2 |" in text(run.path, "options")
    assert "| learners.main.algorithm | reinforce |" in text(run.path, "summary")
    assert read(run.path).SummaryMetadata("_hparams_/session_start_info").plugin_data.plugin_name == "hparams"


def test_a_run_that_was_killed_and_goes_on_has_each_step_once(begun: Callable[[str], Any], monkeypatch: Any) -> None:
    from detente.trackers.tensorboard import TensorBoard

    run = begun("tensorboard")
    killed = run.resume(0)
    for iteration in (1, 2, 3):
        run.iterate([killed], iteration)
    again = run.resume(2)  # the third is in the file, and played again
    assert scalars(run.path)["reward/main"] == rewards(2)
    run.iterate([again], 3)
    with monkeypatch.context() as patch:
        patch.setattr(TensorBoard, "log", lambda *_: None)  # killed when the fourth is noted as handed over, and not written
        run.iterate([again], 4)
    run.iterate([], 5)  # and one more of which it did not hear
    last = run.resume(5)
    run.iterate([last], 6)
    run.finish(last)
    last.close()
    assert scalars(run.path)["reward/main"] == rewards(6)


def test_pictures_of_the_report_are_images(begun: Callable[[str], Any]) -> None:
    run = begun("tensorboard")
    watcher = run.resume(0)
    run.iterate([watcher], 1)
    run.finish(watcher)
    (run.path / "report").mkdir()
    drawn = io.BytesIO()
    Figure(figsize=(3, 2), dpi=10).savefig(drawn, format="png")
    (run.path / "report" / "reward.png").write_bytes(drawn.getvalue())
    (run.path / "report" / "index.html").write_text("a page")
    watcher.finish({"iterations": 1})
    watcher.close()
    assert read(run.path).Tags()["images"] == ["report/reward"]
    (image,) = read(run.path).Images("report/reward")
    assert (image.width, image.height, image.step, image.encoded_image_string) == (30, 20, 1, drawn.getvalue())
