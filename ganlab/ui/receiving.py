"""What an upload sends, part by part: files alone, each bounded, and none is left behind.

gradio's reader keeps a part that is no file in memory, however long it is, and leaves on the disk
what was broken off or is no upload after all. `put_in_place` gives it this one instead.
"""

import logging
from contextvars import ContextVar
from math import inf
from os import SEEK_END
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gradio import components, route_utils, routes
from gradio.route_utils import GradioMultiPartParser
from gradio.utils import get_upload_folder
from gradio_client.utils import strip_invalid_filename_characters

from ganlab.caps import Caps
from ganlab.room import FULL, is_nearly_full
from ganlab.ui import sent

log = logging.getLogger(__name__)

FIELD = "files"  # as the page and `gradio_client` call each part

_told_since: set[str] = set()  # uploads that were done when it was last looked at
_receipt: ContextVar["Receipt"] = ContextVar("_receipt")


class Refused(Exception):
    """A status and a sentence."""


class Receipt:
    """One upload on its way in, from `expect` to `close`."""

    def __init__(self, caps: Caps):
        self.caps, self.readers = caps, []
        self.received = 0  # bytes

    def expect(self, size: int) -> None:
        """Begins an upload of so many bytes.

        Raises:
            Refused: they are too many, or there is no room for them.
        """
        at_once = 2 * self.caps.upload_mb  # what is a little too much is told with what was read
        if size > at_once * 1_000_000:
            raise self._too_large("upload_mb", f"send at most {at_once:,} MB at once")
        folder = Path(get_upload_folder())
        if is_nearly_full(next(each for each in (folder, *folder.parents) if each.is_dir()), size):
            raise Refused(503, FULL)
        self._need_room(size)
        _receipt.set(self)

    def began(self, files: int) -> None:
        """Counts files.

        Raises:
            Refused: they are too many.
        """
        if files > self.caps.files:
            told = f"Too many: send at most {self.caps.files:,} files at once"
            raise Refused(413, str(self.caps.reached("files", told)))

    def took(self, size: int, of_file: int) -> None:
        """Counts bytes that came in, of a file that has so many by now.

        Raises:
            Refused: the file is too large, or others have taken the room meanwhile.
        """
        self.received += size
        sent.under_way += size
        if of_file > self.caps.file_mb * 1_000_000:
            mb = f"{self.caps.file_mb:,} MB"
            raise self._too_large("file_mb", f"send files of at most {mb}")
        self._need_room(0)

    def close(self) -> None:
        """What has come in is noted, and what was broken off, removed."""
        sent.under_way -= self.received
        for reader in self.readers:
            reader.clear_up()

    def _need_room(self, size: int) -> None:
        if self.caps.disk_mb is not None and not sent.has_room(size, self.caps.disk_mb * 1_000_000):
            taken = f"all of the {self.caps.disk_mb:,} MB that they may"
            told = f"The files that were sent here lately take {taken}: try again later"
            raise Refused(503, str(self.caps.reached("disk_mb", told)))

    def _too_large(self, cap: str, advice: str) -> Refused:
        return Refused(413, str(self.caps.reached(cap, f"Too large: {advice}")))


class Parcel:
    """A file on its way in, open only while something is written. gradio keeps each open until
    the last one is in, so that a thousand take all that a process may have open."""

    def __init__(self, name: str):
        self.name = name

    def write(self, data: bytes) -> None:
        with open(self.name, "r+b") as file:  # nothing new, should it be gone by now
            file.seek(0, SEEK_END)
            file.write(data)

    def seek(self, offset: int) -> None:
        """gradio goes back to the start of what has come in, and does not read it."""

    def close(self) -> None:
        """It is."""


class FilesOnly(GradioMultiPartParser):
    """gradio's reader of one upload, on behalf of that request's `Receipt`."""

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **{**settings, "max_files": inf})  # they are counted here
        self._receipt = _receipt.get()
        self._receipt.readers.append(self)
        self._of_file = 0  # bytes of the current one

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        file = self._current_part.file
        if file is not None:
            file.file.close()
            file.file = self._files_to_close_on_error[-1] = Parcel(file.file.name)
        if file is None or not file.filename or self._current_part.field_name != FIELD:
            raise Refused(400, "Send files.")
        self._of_file = 0
        self._receipt.began(self._current_files)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._of_file += end - start
        self._receipt.took(end - start, self._of_file)
        super().on_part_data(data, start, end)

    def clear_up(self) -> None:
        if self.upload_progress and self.upload_id in self.upload_progress._statuses:
            self.upload_progress.set_done(self.upload_id)
        for file in self._files_to_close_on_error:
            try:
                Path(file.name).unlink(missing_ok=True)  # unless it is where it belongs by now
            except OSError as error:
                log.warning("%s stays: %s", file.name, error)
        for _, file in self.items:
            name = strip_invalid_filename_characters(Path(file.filename).name)
            sent.came_in(Path(self.upload_dir) / file.sha.hexdigest() / name)


def forget_progress() -> None:
    """Of uploads: gradio keeps it until somebody has asked for it, also where nobody does. To be
    called now and then."""
    progress = routes.file_upload_statuses
    done = [name for name, each in list(progress._statuses.items()) if each.is_done]
    for name in _told_since & {*done}:
        progress.stop_tracking(name)
        done.remove(name)
    for name in {*list(progress._signals)} - {*progress._statuses}:
        progress._signals.pop(name, None)
    _told_since.clear()
    _told_since.update(done)  # whoever asks has until the next time


class _NoFiles:
    """What of `tempfile` gradio's components use, for the name alone that they then give it."""

    @staticmethod
    def NamedTemporaryFile(**_: Any) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace()


def put_in_place() -> None:
    """Has gradio read uploads so. For each file that an event names it would leave an empty one
    beside them, and a script could name thousands."""
    route_utils.GradioMultiPartParser = FilesOnly
    for module in (components.download_button, components.file, components.upload_button):
        module.tempfile = _NoFiles
