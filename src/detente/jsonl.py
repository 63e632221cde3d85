"""Files of JSON lines, plain or compressed: the only module that knows their two endings.

    000001.jsonl ────────┬── opened, lines ──> bytes
    000002.jsonl.gz ─────┘

A file is written compressed if its name ends in .gz; when it is read its first bytes decide. A compressed file that was cut short
reads like a plain one that was cut there. Standard library only.
"""

from __future__ import annotations

import gzip
import io
import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

PLAIN, PACKED = ".jsonl", ".jsonl.gz"
LEVEL = 3  # on episodes as fast as level 1 and smaller; level 6 saves a third more and takes more than twice the time
MAGIC = b"\x1f\x8b"
CHUNK = 1 << 16  # bytes
MOST = 1 << 30  # bytes of text that are read of a file, for a small compressed file may unpack to any size
MOST_LINES = 1 << 20  # blank ones too


class TooMuchError(ValueError):
    """A file holds more than the reader has room for."""


def name(path: Path) -> str:
    """The file's name without its ending."""
    return path.name.removesuffix(PACKED).removesuffix(PLAIN)


def is_jsonl(path: Path) -> bool:
    """Whether this is the name of a file of JSON lines."""
    return path.name.endswith((PLAIN, PACKED))


def files(folder: Path) -> list[Path]:
    """The files of a folder, sorted by name; where a name is there in both forms, the plain file."""
    by_name = {name(path): path for ending in (PACKED, PLAIN) for path in folder.glob(f"*{ending}")}
    return [path for _, path in sorted(by_name.items())]


def file(folder: Path, name: str) -> Path:
    """The path of the file of that name, which may not exist yet: compressed unless there is a plain one."""
    plain = folder / f"{name}{PLAIN}"
    return plain if plain.exists() else folder / f"{name}{PACKED}"


def remove(path: Path) -> None:
    """Remove the file, plain and compressed."""
    for ending in (PLAIN, PACKED):
        path.with_name(name(path) + ending).unlink(missing_ok=True)


def write(path: Path, lines: Iterable[bytes], mode: str = "w") -> None:
    """Write lines that end in newlines; mode "a" appends. The bytes depend on the lines alone (no time stamps)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open(f"{mode}b") as file:
        if path.suffix != ".gz":
            file.writelines(lines)
            return
        with gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed:
            packed.writelines(lines)


def opened(path: Path) -> BinaryIO:
    """The file for reading, unpacked on the way. ValueError for a pipe or a device, and on reading where it is damaged."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no file")
    file = path.open("rb")
    return io.BufferedReader(_Unpacked(file), CHUNK) if file.peek(2)[:2] == MAGIC else file


def place(file: BinaryIO) -> int:
    """How many bytes of the file on disk have been read."""
    raw = getattr(file, "raw", None)
    return raw.packed.tell() if isinstance(raw, _Unpacked) else file.tell()


def was_cut(file: BinaryIO) -> bool:
    """Whether reading has come to the end of a compressed file that was cut short."""
    raw = getattr(file, "raw", None)
    return isinstance(raw, _Unpacked) and raw.cut


def lines(path: Path, limit: int = MOST) -> Iterator[bytes]:
    """The lines with their newlines. TooMuchError before they are more than ``limit`` bytes, or very many lines."""
    with opened(path) as file:
        yield from bounded(file, limit)


def bounded(file: BinaryIO, limit: int = MOST) -> Iterator[bytes]:
    """The lines of an open file, as ``lines``."""
    left, number = limit, 0
    while line := file.readline(left + 1):
        left, number = left - len(line), number + 1
        if left < 0:
            raise TooMuchError(f"it holds more than {limit >> 20} MB of text")
        if number > MOST_LINES:
            raise TooMuchError(f"it holds more than {MOST_LINES:,} lines")
        yield line


class _Unpacked(io.RawIOBase):
    """The content of a compressed file, up to where it was cut short."""

    def __init__(self, packed: io.BufferedReader) -> None:
        self.packed, self.cut = packed, False
        self._gzip = gzip.GzipFile(fileobj=packed)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._gzip.seek(offset, whence)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            content = self._gzip.read1(len(buffer))
        except EOFError:
            self.cut = True
            return 0
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"it cannot be unpacked: {error}") from error
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        super().close()
        self.packed.close()
