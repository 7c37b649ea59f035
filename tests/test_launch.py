"""How `app.py` has gradio serve the page."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import make_known

ROOT = Path(__file__).parents[1]
ASKED = """
import json
import app

class Page:
    def queue(self, **settings):
        self.settings = settings
        return self

    def launch(self, **settings):
        print(json.dumps({**self.settings, **settings}, default=str))
        raise KeyboardInterrupt

app.build_page = lambda jobs: Page()
app.main()
"""


def launched(home: Path, **environment: str) -> dict:
    """What gradio is told."""
    settings = {**os.environ, "GANLAB_HOME": str(home), **environment}
    run = [sys.executable, "-c", ASKED]
    done = subprocess.run(run, cwd=ROOT, env=settings, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[0])


@pytest.fixture
def known_home(tmp_path: Path) -> Path:
    make_known(tmp_path)  # so that no machine is timed
    return tmp_path


def test_the_page_is_served_as_strictly_as_gradio_can(known_home):
    told = launched(known_home, GANLAB_PROFILE="public", GANLAB_MAX_FILE_MB="7")
    strict = {
        "share": False, "show_error": False, "enable_monitoring": False, "strict_cors": True,
        "run_history": False, "api_open": False, "max_file_size": "7mb", "server_name": None,
    }  # fmt: skip
    assert {name: told[name] for name in strict} == strict
    assert told["max_size"] == 64 and told["max_threads"] == 16
    assert told["state_session_capacity"] == 500
    closed = {Path(each) for each in told["blocked_paths"]}
    assert closed == {ROOT, known_home / "runs", known_home / "cache"}
    assert "allowed_paths" not in told and "Gate" in str(told["app_kwargs"])
