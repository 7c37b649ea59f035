"""Files that visitors sent, where gradio puts them: in a folder for each content.

gradio would keep them until it ends. Nothing needs them once they were taken in, cleaned.
"""

import errno
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path

from gradio.utils import get_upload_folder

LEFT_SECONDS = 7200  # what an upload that broke off has left is removed after
DONE_SECONDS = 600.0  # and what was taken in: whoever has sent the same has been served by then

log = logging.getLogger(__name__)

_done: dict[Path, tuple[float, tuple[int, int] | None]] = {}  # since when, and what lay there


def taken_in(paths: Iterable[str]) -> None:
    """Notes that these files, as far as they were sent, are not needed any more. They go after a
    while only: who sends the same file, as a class does, is given the same one by gradio."""
    folder = Path(get_upload_folder()).resolve()
    for path in (Path(each).resolve() for each in paths):
        if folder in path.parents:
            _done[path] = time.monotonic(), _state(path)


def _remove_done(folder: Path) -> None:
    """Those that nobody has sent again."""
    for path, (since, state) in list(_done.items()):
        if time.monotonic() - since <= DONE_SECONDS:
            continue
        del _done[path]
        try:
            if _state(path) == state:
                path.unlink(missing_ok=True)
                if path.parent != folder:
                    _remove_if_empty(path.parent)
        except OSError as error:
            log.warning("%s stays: %s", path, error)


def sweep_uploads(folder: Path | None = None) -> None:
    """Removes what was taken in, what uploads that broke off have left, and folders that are empty:
    gradio forgets them. To be called now and then.

    Args:
        folder: that of uploads; None = gradio's.
    """
    folder = folder or Path(get_upload_folder()).resolve()
    _remove_done(folder)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                _sweep(entry)
    except FileNotFoundError:  # nothing was uploaded yet
        return


def _sweep(entry: os.DirEntry) -> None:
    try:
        if time.time() - entry.stat(follow_symlinks=False).st_mtime <= LEFT_SECONDS:
            return
        if entry.is_dir(follow_symlinks=False):
            _remove_if_empty(Path(entry.path))
        else:
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


def _state(path: Path) -> tuple[int, int] | None:
    """Which file lies there since when; None = none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns
