"""Files that visitors sent, where gradio puts them: in a folder for each content.

gradio would keep them until it ends. Nothing needs them once they were taken in, cleaned.
"""

import errno
import logging
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gradio.utils import get_upload_folder

from ganlab import clock

LEFT_SECONDS = 1800.0  # what nobody has taken in is removed after
LOOSE_SECONDS = 24 * 3600.0  # what is still in no folder, as of an upload that takes long
DONE_SECONDS = 600.0  # and what was taken in: whoever has sent the same has been served by then
HURRIED_SECONDS = 60.0  # the same where the room is needed
LEAST = 100_000  # bytes that a file counts for: it has a folder, and several tables know it

log = logging.getLogger(__name__)


@dataclass
class _File:
    size: int
    since: float
    is_done: bool  # it was taken in
    state: tuple[int, int] | None  # which file lies there since when


class _Files:
    """What lies there, and how many bytes that are together."""

    def __init__(self) -> None:
        self._lock, self._files = threading.Lock(), dict[Path, _File]()
        self.size = 0

    def note(self, path: Path, *, is_done: bool) -> None:
        file = _File(_size(path), time.monotonic(), is_done, _state(path))
        with self._lock:
            self._forget(path)
            self._files[path] = file
            self.size += file.size

    def take_old(self, done_seconds: float) -> list[tuple[Path, _File]]:
        """Those whose time is over; they are forgotten."""
        now = time.monotonic()
        with self._lock:
            old = [
                (path, file)
                for path, file in self._files.items()
                if now - file.since > (done_seconds if file.is_done else LEFT_SECONDS)
            ]
            for path, _ in old:
                self._forget(path)
        return old

    def _forget(self, path: Path) -> None:
        if file := self._files.pop(path, None):
            self.size -= file.size


_files = _Files()
under_way = 0  # bytes that are being received


def came_in(path: Path) -> None:
    """Notes a file that gradio has put into its place, if it has; it is new, also if it was there
    before."""
    path = path.resolve()
    if path.is_file():
        _files.note(path, is_done=False)


def taken_in(paths: Iterable[str]) -> None:
    """Notes that these files, as far as they were sent, are not needed any more. They go after a
    while only: who sends the same file, as a class does, is given the same one by gradio."""
    folder = Path(get_upload_folder()).resolve()
    for path in (Path(each).resolve() for each in paths):
        if folder in path.parents:
            _files.note(path, is_done=True)


def has_room(size: int, most: int) -> bool:
    """Whether so many bytes more fit into what all that was sent may take."""
    if _files.size + under_way + size > most:
        _remove_old(HURRIED_SECONDS)
    return _files.size + under_way + size <= most


def _remove_old(done_seconds: float) -> None:
    """What was taken in so long ago, or not taken in at all, unless somebody has sent it again."""
    folder = Path(get_upload_folder()).resolve()
    for path, file in _files.take_old(done_seconds):
        try:
            if _state(path) == file.state:
                path.unlink(missing_ok=True)
                if path.parent != folder:
                    _remove_if_empty(path.parent)
        except OSError as error:
            log.warning("%s stays: %s", path, error)


def sweep_uploads(folder: Path | None = None) -> None:
    """Removes what was taken in or has been left, and folders that are empty: gradio forgets them.
    To be called now and then.

    Args:
        folder: that of uploads; None = gradio's.
    """
    folder = folder or Path(get_upload_folder()).resolve()
    _remove_old(DONE_SECONDS)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                _sweep(entry)
    except FileNotFoundError:  # nothing was uploaded yet
        return


def _sweep(entry: os.DirEntry) -> None:
    try:
        age = clock.now() - entry.stat(follow_symlinks=False).st_mtime
        if entry.is_dir(follow_symlinks=False):
            if age > LEFT_SECONDS:
                _remove_if_empty(Path(entry.path))
        elif age > LOOSE_SECONDS:
            os.unlink(entry.path)
    except FileNotFoundError:  # it has just gone
        return
    except OSError as error:
        log.warning("%s stays: %s", entry.path, error)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


def _size(path: Path) -> int:
    try:
        return max(path.stat().st_size, LEAST)
    except FileNotFoundError:
        return 0


def _state(path: Path) -> tuple[int, int] | None:
    """Which file lies there since when; None = none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns
