"""Folders that a command fills: one writer at a time, and who may ask whether there is one."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

from detente.files import LONGEST_NAME, folder_name, in_use, locked


def test_a_folder_is_in_use_while_it_is_locked(tmp_path: Path) -> None:
    assert not in_use(tmp_path / "nowhere")
    assert not in_use(tmp_path)
    with locked(tmp_path, "The folder", "wait"):
        assert in_use(tmp_path)
    assert not in_use(tmp_path)


def test_a_lock_that_is_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as glance:
        fcntl.flock(glance, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (glance, fcntl.LOCK_UN)).start()
        with locked(tmp_path, "The folder", "wait"):
            assert in_use(tmp_path)


def test_a_folders_name_fits_any_file_system() -> None:
    assert folder_name("ipd", "seed0", "opponents.scripts=[liar, greedy]") == "ipd-seed0-opponents.scripts=_liar_greedy_"
    one, other = (folder_name("ipd", "9" * 5000 + end) for end in "ab")
    assert one != other
    assert len(one) == LONGEST_NAME
    umlauts = folder_name("ä" * 400)
    assert len(umlauts.encode()) <= LONGEST_NAME
    assert umlauts.startswith("ää")
