"""Has imported and read all that the app needs, and forks a server at each line that it reads.

`python app.py` takes some seconds to import PyTorch and gradio, and goes on to read what most
visitors begin with. What is forked from here runs the same `app.main()`, in a process of its own
that can be killed like any other, and finds that done.
"""

import json
import os
import runpy
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch._dynamo  # which else every server imports when it first builds a network
import torch.testing

import app
from ganlab import source
from ganlab.data import catalog
from ganlab.jobs import Jobs
from ganlab.models import features
from ganlab.paths import runs_dir


def make_ready() -> None:
    """What a server does for all visitors, and what is slow only the first time."""
    torch.set_num_threads(1)  # those of a pool would not be there after a fork
    for name in ("avatars", "fashion"):
        catalog.load(name, tasks=catalog.CATALOG[name].suggested)
    features.preload()
    source.prepare()
    jobs = Jobs(runs_dir(), workers=0)
    app.build_page(jobs)
    jobs.close()


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
    make_ready()
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
