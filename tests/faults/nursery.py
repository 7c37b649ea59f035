"""Has imported all that the app needs, and forks a server at each line that it reads.

`python app.py` takes some seconds to import PyTorch and gradio. What is forked from here runs the
same `app.main()`, in a process of its own that can be killed like any other.
"""

import json
import os
import runpy
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch._dynamo  # which else every server imports when it first builds a network
import torch.testing  # noqa: F401

import app


def become_server(asked: dict) -> None:
    """Never comes back."""
    code = 1
    try:
        out = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for new, old in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(new, old)
        os.environ.update(asked["environment"])
        if asked["first"]:
            runpy.run_path(asked["first"])
        app.main()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # as app.py ends


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, it is ignored
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            _, status = os.waitpid(asked["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
        elif pid := os.fork():
            print(pid, flush=True)
        else:
            become_server(asked)


if __name__ == "__main__":
    main()
