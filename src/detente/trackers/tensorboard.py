"""TensorBoard: event files in RUN/trackers/tensorboard, which ``tensorboard --logdir runs`` finds.

A run that goes on writes another file, whose first event takes back what the files before it hold of later steps. Scalars are
named as in metrics.jsonl, with the iteration as step; options and summary are texts, the options hyperparameters too, and the
pictures of the report images. Needs no TensorFlow.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.hparams.summary_v2 import hparams_pb  # .api needs TensorFlow
from tensorboard.plugins.text.metadata import create_summary_metadata
from tensorboard.summary.writer.record_writer import RecordWriter

from detente.files import dotted
from detente.trackers.base import TrackedRun


class TensorBoard:
    """Writes event files, without a thread, so that a full disk is noticed where it happens."""

    def begin(self, run: TrackedRun) -> int:
        """Begin a file that takes back the last iteration handed over, and all that are later than those that are finished."""
        has = max(0, min(run.handed, run.iteration) - 1)
        options = dotted(run.options)
        named = {key: value if isinstance(value, bool | int | float) else str(value) for key, value in options.items()}
        self._writer = RecordWriter((run.folder / f"events.out.tfevents.{time.time_ns()}").open("wb"))
        self._write(0, file_version="brain.Event:2")
        self._write(has + 1, session_log=SessionLog(status=SessionLog.START))
        self._write(0, summary=hparams_pb(named, trial_id=run.id))
        self._write(has + 1, summary=_text("options", _table(options)))
        self._writer.flush()
        return has

    def log(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """One event with all numbers."""
        values = [Summary.Value(tag=key, simple_value=number) for key, number in numbers.items()]
        self._write(iteration, summary=Summary(value=values))
        self._writer.flush()

    def finish(self, iteration: int, summary: Mapping[str, Any], files: Sequence[Path]) -> None:
        """The summary as a text, and the pictures; TensorBoard has no place for the page."""
        self._write(iteration, summary=_text("summary", _table(dotted(summary))))
        for file in files:
            if file.suffix == ".png":
                self._write(iteration, summary=Summary(value=[Summary.Value(tag=f"report/{file.stem}", image=_image(file))]))
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, step: int, **content: Any) -> None:
        self._writer.write(Event(wall_time=time.time(), step=step, **content).SerializeToString())


def _table(values: Mapping[str, Any]) -> str:
    """Markdown with a row for each value."""
    rows = (f"| {key} | {str(value).replace('|', chr(92) + '|')} |" for key, value in values.items())
    return "\n".join(["| name | value |", "|---|---|", *rows])


def _text(tag: str, content: str) -> Summary:
    """A text of Markdown, as TensorBoard's plugin for texts takes it."""
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[content.encode()], tensor_shape=shape)
    return Summary(value=[Summary.Value(tag=tag, metadata=create_summary_metadata("", ""), tensor=tensor)])


def _image(file: Path) -> Summary.Image:
    """A PNG file, whose header has its width and height as two big-endian numbers of 4 bytes from byte 16 on."""
    content = file.read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    return Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=content)
