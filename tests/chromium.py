"""The browser that drives the page in tests and measurements."""

import os
import shutil

# The headless shell is Chromium without its windows, tabs, icons and manifests: a seventh faster.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """The one that the environment variable CHROMIUM names, or the first that is here."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
