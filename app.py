"""Starts ganlab's page: `python app.py`, then open the address that it prints."""

import gc
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

# Nothing that starting makes is ever garbage; to look for some takes a quarter of the start.
gc.disable()
# Before gradio is imported: no telemetry, no version check, nothing fetched from a hub.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from gradio.i18n import I18n

from ganlab import descriptors, device, leftovers, memory, source
from ganlab.caps import Caps
from ganlab.config import TrainConfig
from ganlab.data import catalog
from ganlab.jobs import Jobs
from ganlab.paths import cache_dir, make_home, runs_dir
from ganlab.ui.crowds import THREADS
from ganlab.ui.figures import MARK_FILE
from ganlab.ui.gate import gated
from ganlab.ui.layout import build_page
from ganlab.ui.lent import declare_for_zero_gpu
from ganlab.ui.receiving import forget_progress
from ganlab.ui.sent import sweep_uploads
from ganlab.ui.theme import STYLES, build_theme
from ganlab.ui.uploaded import forget_old_uploads

log = logging.getLogger(__name__)

# What gradio must give to nobody, even if a handler named it by mistake.
PRIVATE = (Path(__file__).resolve().parent, runs_dir(), cache_dir())
# Read out to who does not see the page, where gradio 6.31 would read out the key.
WORDS = I18n(en={"common.complete": "Done"})
CHORES_SECONDS = 60.0  # between two looks at what is too old, or too much


def main() -> None:
    memory.keep_little()
    descriptors.allow_many()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    declare_for_zero_gpu()  # before anything asks PyTorch for a GPU
    try:
        make_home()
        device.plan()  # timed once per machine, before anybody waits for it
        caps = Caps.from_environment()
    except ValueError as wrong_setting:
        sys.exit(f"ganlab cannot start: {wrong_setting}")
    tempfile.tempdir = str(leftovers.own_temporary_folder())  # goes with this process
    os.environ["GRADIO_TEMP_DIR"] = os.path.join(tempfile.tempdir, "gradio")
    jobs = Jobs(runs_dir(), workers=int(os.environ.get("GANLAB_WORKERS", "1")), caps=caps)
    if jobs.is_alone:
        leftovers.clean_home()
    try:
        page = build_page(jobs)
        page.queue(max_size=caps.events, default_concurrency_limit=4, api_open=False)
        page.launch(
            server_name=os.environ.get("GRADIO_SERVER_NAME"),  # gradio's own: this machine only
            i18n=WORDS,
            theme=build_theme(),
            css_paths=STYLES,
            favicon_path=str(MARK_FILE),
            share=False,
            ssr_mode=False,
            show_error=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=[],
            strict_cors=True,
            max_threads=THREADS,
            state_session_capacity=500,
            max_file_size=f"{caps.file_mb}mb",
            blocked_paths=[str(each) for each in PRIVATE],
            app_kwargs=gated(caps),
            prevent_thread_lock=True,
        )
        gc.freeze()  # and is never looked through again
        gc.enable()
        device.warm_up()
        caps.need_memory(TrainConfig(), 1, 0)  # takes seconds the first time, and then none
        for name in ("avatars", "fashion"):  # what most begin with is read before they do
            catalog.load(name, tasks=catalog.CATALOG[name].suggested)
        source.prepare()
        files = (forget_old_uploads, sweep_uploads, forget_progress, page.remove_made)
        chores = (jobs.tidy, *files, page.forget_unheard, memory.give_back)
        while True:
            time.sleep(CHORES_SECONDS)
            for chore in chores:
                try:
                    chore()
                except Exception:  # a disk that is away comes back: the page stays
                    log.exception("%s could not be done", chore.__name__)
    except KeyboardInterrupt:
        print("Saving what is under way.", flush=True)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # a second one must not break that off
            signal.signal(number, signal.SIG_IGN)
        jobs.close()
        shutil.rmtree(tempfile.tempdir, ignore_errors=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # threads that still draw or step would crash in an interpreter that is taken down
