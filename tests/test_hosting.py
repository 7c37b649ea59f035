"""What docs/hosting.md tells to do, done."""

import os
import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from huggingface_hub.utils import filter_repo_objects

from ganlab.jobs import Jobs
from ganlab.runs import Run

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "hosting.md").read_text()
needs_git = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not a clone"
)


def told(begin: str) -> str:
    """The command in the text that begins so."""
    return re.search(rf"^ *({re.escape(begin)}.*)$", TEXT, re.MULTILINE)[1]


def tracked() -> list[str]:
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name]


def test_a_backup_brings_the_runs_back_to_whom_they_belong(new_run, tmp_path, monkeypatch):
    run, home, other = new_run(), tmp_path, tmp_path / "other"
    token = Run.create(run.config, runs=home / "runs")[1]
    before = {run.path.name: run.about for run in map(Run, (home / "runs").iterdir())}
    other.mkdir()
    monkeypatch.chdir(tmp_path)
    for command, folder in (("tar --create", home), ("tar --extract", other)):
        monkeypatch.setenv("GANLAB_HOME", str(folder))
        subprocess.run(["sh", "-c", told(command)], check=True)
    jobs = Jobs(other / "runs", workers=0)
    try:
        after = {path.name: Run(path).about for path in (other / "runs").glob("*/")}
        assert after == before and len(after) == 2
        mine = [path for path in (other / "runs").glob("*/") if Run(path).is_owned_by(token)]
        assert len(mine) == 1
    finally:
        jobs.close()


@needs_git
def test_a_space_is_sent_what_is_in_the_repository():
    words = shlex.split(told("hf upload"))
    ignored = [after for word, after in pairwise(words) if word == "--exclude"]
    made = ["runs/a/run.json", "cache/device.json", ".venv/bin/python", "ganlab/__pycache__/a.pyc"]
    sent = list(filter_repo_objects([*tracked(), *made], ignore_patterns=ignored))
    assert sent == [name for name in tracked() if not name.startswith(".git")]


# As the hub does: no file may have a NUL in it. (Pointers to large files have none.)
REFUSES_BINARIES = """#!/bin/sh
while read old new ref; do
    git ls-tree -r "$new" | while read mode kind id path; do
        if git cat-file blob "$id" | LC_ALL=C grep -qaP '\\x00'; then
            echo "$path is binary" >&2
            exit 1
        fi
    done || exit 1
done
"""


@needs_git
@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="there is no git-lfs")
def test_a_space_takes_the_branch_that_is_made_for_it_and_has_every_file(tmp_path):
    hub, clone, back = (tmp_path / name for name in ("hub.git", "clone", "back"))
    whos = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")
    person = {**os.environ, **{f"GIT_{who}": "me" for who in whos}}

    def git(*words: str, at: Path, may_fail: bool = False) -> subprocess.CompletedProcess:
        done = subprocess.run(["git", *words], cwd=at, capture_output=True, text=True, env=person)
        assert may_fail or done.returncode == 0, done.stderr
        return done

    git("init", "--bare", "--initial-branch", "main", str(hub), at=tmp_path)
    hook = hub / "hooks" / "pre-receive"
    hook.write_text(REFUSES_BINARIES)
    hook.chmod(0o755)
    git("clone", ROOT.as_uri(), str(clone), at=tmp_path)
    git("switch", "-C", "main", at=clone)
    as_it_is = git("commit-tree", "HEAD^{tree}", "-m", "all", at=clone).stdout.strip()
    refused = git("push", hub.as_uri(), f"{as_it_is}:refs/heads/main", at=clone, may_fail=True)
    assert refused.returncode != 0 and "is binary" in refused.stderr

    (clone / "app.py").write_text("of my own, not committed")
    block = re.search(r"```sh\n( *git clone \. .*?)```", TEXT, re.DOTALL)[1]
    block = block.replace("https://huggingface.co/spaces/YOU/ganlab", hub.as_uri())
    subprocess.run(["sh", "-c", block], cwd=clone, check=True, env=person)
    assert git("status", "--porcelain", at=clone).stdout == " M app.py\n"
    git("checkout", "app.py", at=clone)
    git("clone", hub.as_uri(), str(back), at=tmp_path)
    git("lfs", "install", "--local", at=back)
    git("lfs", "pull", at=back)
    for name in git("ls-files", "-z", at=clone).stdout.split("\0"):
        if name and name != ".gitattributes":
            assert (back / name).read_bytes() == (clone / name).read_bytes(), name


@needs_git
def test_a_clone_needs_no_large_file_storage():
    large = [name for name in tracked() if (ROOT / name).stat().st_size > 1_000_000]
    assert "ganlab/data/bundled/avatars.zip" in large
    for name in large:
        assert not (ROOT / name).read_bytes().startswith(b"version https://git-lfs")
    asked = ["git", "check-attr", "filter", "--", *large]
    said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(line.endswith("filter: unspecified") for line in said.splitlines())


def test_the_links_of_the_text_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
