"""Files that visitors sent, where gradio puts them: in a folder for each content.

gradio would keep them until it ends. Nothing needs them once they were taken in, cleaned.
"""

import errno
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gradio.utils import get_upload_folder

LEFT_SECONDS = 7200  # what an upload that broke off has left is removed after

log = logging.getLogger(__name__)


@contextmanager
def removed_afterwards(paths: Iterable[str]) -> Iterator[None]:
    """Removes those of these files that were sent, unless somebody has sent the same meanwhile."""
    folder = Path(get_upload_folder()).resolve()
    sent = [path for path in (Path(each).resolve() for each in paths) if folder in path.parents]
    before = {path: _state(path) for path in sent}
    try:
        yield
    finally:
        for path, state in before.items():
            if _state(path) != state:
                continue
            try:
                path.unlink(missing_ok=True)
                if path.parent != folder:
                    _remove_if_empty(path.parent)
            except OSError as error:
                log.warning("%s stays: %s", path, error)


def sweep_uploads(folder: Path | None = None) -> None:
    """Removes what uploads that broke off have left, and folders that are empty: gradio forgets
    them.

    Args:
        folder: that of uploads; None = gradio's.
    """
    try:
        with os.scandir(folder or get_upload_folder()) as entries:
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
