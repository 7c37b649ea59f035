"""Starts ganlab's page: `python app.py`, then open the address that it prints."""

import os

# Before gradio is imported: no telemetry, no version check, nothing fetched from a hub.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from ganlab import device
from ganlab.jobs import Jobs
from ganlab.paths import runs_dir
from ganlab.ui.layout import build_page
from ganlab.ui.theme import CSS, build_theme


def main() -> None:
    device.plan()  # timed once per machine, before anybody waits for it
    jobs = Jobs(runs_dir(), workers=int(os.environ.get("GANLAB_WORKERS", "1")))
    page = build_page(jobs).queue(max_size=64, default_concurrency_limit=4, api_open=False)
    page.launch(
        server_name=os.environ.get("GRADIO_SERVER_NAME"),  # gradio's own default: this machine only
        theme=build_theme(),
        css=CSS,
        share=False,
        ssr_mode=False,
        show_error=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=[],
        strict_cors=True,
        max_threads=16,
        state_session_capacity=200,
        max_file_size="50mb",
    )
    jobs.close()


if __name__ == "__main__":
    main()
