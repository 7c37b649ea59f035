"""Writing files so that a reader never sees half of one."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes beside the target, then replaces it in one step."""
    with file_written_atomically(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def file_written_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Gives a file beside the target to write; it takes the target's place when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(scratch, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def forget_oldest(folder: Path, ending: str, keep: int) -> None:
    """Deletes the files of a cache that were touched longest ago, but for so many."""

    def age(file: Path) -> float:
        try:
            return file.stat().st_mtime
        except FileNotFoundError:  # somebody else has just forgotten it
            return 0.0

    for old in sorted(folder.glob(f"*{ending}"), key=age)[:-keep]:
        old.unlink(missing_ok=True)


@contextmanager
def folder_written_atomically(path: Path) -> Iterator[Path]:
    """Gives an empty folder to fill; it takes the place of `path` when all went well."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    scratch.mkdir(parents=True)
    try:
        yield scratch
        if path.exists():
            shutil.rmtree(path)
        os.rename(scratch, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
