"""Opens what a stranger sends, each in a fork of its own that may have little memory: `opens.py
FOLDER` reads `[kind, path]` lines and answers each with what was said and what it took."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch._dynamo  # noqa: F401  # which else each fork imports when it builds a network

from ganlab import favourites, portable

MOST = 1_500_000_000  # bytes of memory that an opening may ask for, beyond what the program has


def open_zip(path: Path, folder: Path) -> None:
    portable.open_run(path, runs=folder, any_data=False)


OPENS: dict[str, Callable[[Path, Path], object]] = {
    "zip": open_zip,
    "favourites": lambda path, _: favourites.from_file(path),
}


def memory(name: str) -> int:
    """Bytes, as the system counts them for this process."""
    text = Path("/proc/self/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(name)).split()[1]) * 1024


def tried(kind: str, path: Path, folder: Path) -> dict:
    most = memory("VmData") + MOST
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    before, began, said, refused = memory("VmRSS"), time.monotonic(), "", False
    try:
        OPENS[kind](path, folder)
    except ValueError as error:
        said, refused = str(error), True
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    return {
        "said": said,
        "refused": refused,
        "seconds": time.monotonic() - began,
        "grew": memory("VmHWM") - before,
    }


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        kind, path = json.loads(line)
        reads, writes = os.pipe()
        if not (pid := os.fork()):
            os.write(writes, json.dumps(tried(kind, Path(path), Path(sys.argv[1]))).encode())
            os._exit(0)
        os.close(writes)
        with open(reads) as answer:
            text = answer.read()
        _, status = os.waitpid(pid, 0)
        died = {"said": f"died: {status}", "refused": False, "seconds": 0, "grew": 0}
        print(text or json.dumps(died), flush=True)


if __name__ == "__main__":
    main()
