"""Files of JSON lines, plain or compressed: the one place that knows their two endings.

    000001.jsonl ────────┬── opened, lines ──> bytes
    000002.jsonl.gz ─────┘

What is written is compressed where the name ends in .gz; what is read is recognised by its first bytes. A compressed file that was
cut short reads like a plain one that was cut there. Standard library only.
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
MOST = 1 << 30  # bytes of text that are read of one file, which may be a small one that unpacks to any size
MOST_LINES = 1 << 20  # blank ones too


class TooMuchError(ValueError):
    """A file holds more than the reader has room for."""


def name(path: Path) -> str:
    """The file's name without its ending."""
    return path.name.removesuffix(PACKED).removesuffix(PLAIN)


def is_one(path: Path) -> bool:
    """Whether this is called like a file of JSON lines."""
    return path.name.endswith((PLAIN, PACKED))


def files(folder: Path) -> list[Path]:
    """Those in a folder, by name; of one that lies there in both forms the plain one is meant."""
    found = {name(path): path for ending in (PACKED, PLAIN) for path in folder.glob(f"*{ending}")}
    return [found[each] for each in sorted(found)]


def file(folder: Path, name: str) -> Path:
    """The file of that name as it lies there, or would be written: compressed unless there is a plain one."""
    plain = folder / f"{name}{PLAIN}"
    return plain if plain.exists() else folder / f"{name}{PACKED}"


def remove(path: Path) -> None:
    """Remove the file, in whichever forms it lies there."""
    for ending in (PLAIN, PACKED):
        path.with_name(name(path) + ending).unlink(missing_ok=True)


def write(path: Path, lines: Iterable[bytes], mode: str = "w") -> None:
    """Write lines that end in newlines; mode "a" adds them. The bytes depend on nothing but the lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open(f"{mode}b") as file:
        if path.suffix != ".gz":
            file.writelines(lines)
            return
        with gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed:
            packed.writelines(lines)


def opened(path: Path) -> BinaryIO:
    """The file for reading, unpacked on the way. ValueError for a pipe or a device; when it is read, where it is damaged."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no file")
    file = path.open("rb")
    return io.BufferedReader(_Unpacked(file), CHUNK) if file.peek(2)[:2] == MAGIC else file


def place(file: BinaryIO) -> int:
    """How many bytes of what lies on disk have been read."""
    raw = getattr(file, "raw", None)
    return raw.packed.tell() if isinstance(raw, _Unpacked) else file.tell()


def was_cut(file: BinaryIO) -> bool:
    """Whether this is a compressed file that was read to where it was cut short."""
    raw = getattr(file, "raw", None)
    return isinstance(raw, _Unpacked) and raw.cut


def lines(path: Path, most: int = MOST) -> Iterator[bytes]:
    """The lines with their newlines. TooMuchError before there are more than ``most`` bytes, or very many lines, however small the
    file is."""
    with opened(path) as file:
        yield from bounded(file, most)


def bounded(file: BinaryIO, most: int = MOST) -> Iterator[bytes]:
    """The lines of an open file, and TooMuchError as ``lines`` has it."""
    left, number = most, 0
    while line := file.readline(left + 1):
        left, number = left - len(line), number + 1
        if left < 0:
            raise TooMuchError(f"it holds more than {most >> 20} MB of text")
        if number > MOST_LINES:
            raise TooMuchError(f"it holds more than {MOST_LINES:,} lines")
        yield line


class _Unpacked(io.RawIOBase):
    """What a compressed file holds, up to where it was cut short."""

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
            found = self._gzip.read1(len(buffer))
        except EOFError:
            self.cut = True
            return 0
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"it cannot be unpacked: {error}") from error
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        super().close()
        self.packed.close()
