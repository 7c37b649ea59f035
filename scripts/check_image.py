"""Follows the Dockerfile step by step without Docker, starts what it starts, and looks at it.

    sudo python scripts/check_image.py            # into a clean environment, as a build would
    sudo python scripts/check_image.py --reuse    # with the packages of the Python that runs this

The steps are read from the Dockerfile. They run in namespaces of their own, on a copy of this
machine's files that is thrown away (an overlay): what they write, which users they add, and what
they serve is seen nowhere else. So this needs root and Linux. What it cannot show is that the base
image has what this machine has.
"""

import argparse
import fnmatch
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
STARTS_WITHIN, ENDS_WITHIN = 180, 60  # seconds, beside whatever else this machine does
PYTHON = "/image-python"  # stands for that of the base image

# The process that runs this has the namespaces to itself. It ends when nobody holds its input.
HOLD = """
set -e
mount -t tmpfs tmpfs {scratch}
mkdir {scratch}/written {scratch}/work {root}
mount -t overlay overlay -o lowerdir=/,upperdir={scratch}/written,workdir={scratch}/work {root}
mount --rbind /dev {root}/dev
echo ready
cat
"""


@dataclass
class Steps:
    """A Dockerfile, as far as ours goes."""

    build: list[tuple[str, str]] = field(default_factory=list)  # instruction, the rest of the line
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"
    user: str = "root"
    volumes: list[str] = field(default_factory=list)


def read(dockerfile: str) -> Steps:
    """Raises ValueError at an instruction that this does not know."""
    steps = Steps()
    lines = [line for line in dockerfile.splitlines() if line.strip() and line[0] != "#"]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, rest = line.split(None, 1)
        if name in ("ARG", "ENV", "RUN", "WORKDIR", "COPY", "USER"):
            steps.build.append((name, rest))
        if name == "USER":
            steps.user = rest
        elif name == "CMD":
            steps.command = json.loads(rest)  # the other form would put a shell before SIGTERM
        elif name == "HEALTHCHECK":
            steps.health = json.loads(rest.split("CMD", 1)[1])
        elif name == "STOPSIGNAL":
            steps.stop_signal = rest
        elif name == "VOLUME":
            steps.volumes.append(rest)
        elif name not in ("FROM", "EXPOSE", "ARG", "ENV", "RUN", "WORKDIR", "COPY"):
            raise ValueError(f"{name}: teach scripts/check_image.py what that does")
    return steps


def is_ignored(path: Path, patterns: list[str]) -> bool:
    """By a .dockerignore of names at the top and of `**/name` anywhere."""
    return any(
        fnmatch.fnmatch(part, pattern.removeprefix("**/"))
        for pattern in patterns
        for part in (path.parts if pattern.startswith("**/") else path.parts[:1])
    )


class Image:
    """What the steps make."""

    def __init__(self, scratch: Path, python: Path | None):
        """`python`: the environment whose packages are taken; None = a clean one."""
        self.scratch, self.root = scratch, scratch / "root"
        script = HOLD.format(scratch=scratch, root=self.root)
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if self._holder.stdout.readline() != b"ready\n":
            raise OSError("no overlay can be mounted here")
        self.env = {"PATH": f"{PYTHON}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT"):  # as build arguments
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.folder, self.user = "/", "root"
        if python is None:
            self.run([sys.executable, "-m", "venv", PYTHON], network=True)
        else:
            self.run(["ln", "-s", str(python), PYTHON])
        # Python may lie in root's own folder; in the copy, others may walk through that.
        for path in {python or self.root, Path(sys.executable).resolve(), Path(sys.base_prefix)}:
            self.run(["chmod", "a+x", *map(str, path.parents)])

    def _enter(self, network: bool, pid: bool) -> list[str]:
        inside = f"/proc/{self._inner_pid()}/ns"
        spaces = [f"--mount={inside}/mnt"]
        if not network:
            spaces.append(f"--net={inside}/net")
        own = ["unshare", "--pid", "--fork", "--kill-child"] if pid else []
        return ["nsenter", *spaces, "--", *own]

    def _inner_pid(self) -> int:
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        return int(children.read_text().split()[0])

    def _chrooted(self, argv: list[str]) -> list[str]:
        """In the image's root, folder and user; `exec` all along, so that signals reach `argv`."""
        become = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups"]
        then = shlex.join([*become, *argv])
        inside = f"cd {shlex.quote(self.folder)} && exec {then}"
        mount = f"mount -t proc proc {self.root}/proc && ip link set lo up"
        return ["sh", "-c", f"{mount} && exec chroot {self.root} sh -c {shlex.quote(inside)}"]

    def run(self, argv: list[str], network: bool = False) -> None:
        done = subprocess.run(
            [*self._enter(network, pid=True), *self._chrooted(argv)],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            raise OSError(f"{shlex.join(argv)} failed:\n{done.stdout}")

    def start(self, argv: list[str], output: Path) -> subprocess.Popen:
        with open(output, "wb") as log:
            return subprocess.Popen(
                [*self._enter(network=False, pid=True), *self._chrooted(argv)],
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def follow(self, steps: Steps) -> None:
        for name, rest in steps.build:
            began = time.monotonic()
            if name == "ENV":
                self.env |= dict(word.split("=", 1) for word in shlex.split(rest))
            elif name == "RUN":
                self.run(["sh", "-c", rest], network=True)
            elif name == "WORKDIR":
                self.folder = rest
                self.run_at_top(["mkdir", "-p", rest])
            elif name == "COPY":
                self._copy(*rest.split())
            elif name == "USER":
                self.user = rest
            print(f"{time.monotonic() - began:6.1f} s  {name} {rest}", flush=True)

    def run_at_top(self, argv: list[str]) -> None:
        folder, self.folder = self.folder, "/"
        self.run(argv)
        self.folder = folder

    def _copy(self, source: str, target: str) -> None:
        """Of what is in the repository and not in .dockerignore, from outside into the folder."""
        patterns = [
            line
            for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
            if line and not line.startswith("#")
        ]
        with tempfile.TemporaryDirectory(dir=self.scratch.parent) as folder:
            context = Path(folder)
            for path in sorted(REPOSITORY.rglob("*")) if source == "." else [REPOSITORY / source]:
                inside = path.relative_to(REPOSITORY)
                if is_ignored(inside, patterns) or not path.is_file() or path.is_symlink():
                    continue
                (context / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, context / inside)
            into = f"{self.root}{os.path.join(self.folder, target)}"
            subprocess.run(
                [*self._enter(network=True, pid=False), "cp", "-rT", folder, into]
                if source == "."
                else [*self._enter(network=True, pid=False), "cp", str(context / source), into],
                check=True,
            )

    def close(self) -> None:
        self._holder.stdin.close()
        self._holder.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reuse", action="store_true", help="the packages that are here")
    args = parser.parse_args()
    if os.getuid() != 0:
        sys.exit("this needs root: sudo python scripts/check_image.py")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what it started, too
    steps = read((REPOSITORY / "Dockerfile").read_text())
    with tempfile.TemporaryDirectory(prefix="ganlab-image-") as folder:
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        image = Image(scratch, Path(sys.prefix).resolve() if args.reuse else None)
        try:
            image.follow(steps)
            look_at(image, steps, Path(folder) / "output")
        finally:
            image.close()


def look_at(image: Image, steps: Steps, output: Path) -> None:
    """Starts the command, waits until it is healthy, and ends it as `docker stop` would."""
    began = time.monotonic()
    server = image.start(steps.command, output)
    try:
        while not _is_healthy(image, steps):
            if server.poll() is not None or time.monotonic() - began > STARTS_WITHIN:
                sys.exit(f"it did not become healthy:\n{output.read_text()}")
            time.sleep(2)
        print(f"{time.monotonic() - began:6.1f} s  healthy")
        pid = _first_process(server)
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        if status["Uid"].split()[0] == "0" or status["NSpid"].split()[-1] != "1":
            sys.exit("the command is not the first process, of a user who is not root")
        print(f"         memory: {int(status['VmRSS'].split()[0]) // 1024} MB, as {steps.user}")
        began = time.monotonic()
        subprocess.run(["kill", "-s", steps.stop_signal.removeprefix("SIG"), str(pid)], check=True)
        server.wait(ENDS_WITHIN)
        said = output.read_text()
        if server.returncode != 0 or "Saving what is under way." not in said:
            sys.exit(f"{steps.stop_signal} did not end it as it should:\n{said}")
        print(f"{time.monotonic() - began:6.1f} s  ended by {steps.stop_signal}")
        kept = image.root / steps.volumes[0].strip("/")
        listing = [*image._enter(network=True, pid=False), "find", str(kept), "-name", "*.json"]
        if "device.json" not in subprocess.run(listing, capture_output=True, text=True).stdout:
            sys.exit(f"nothing was kept in {steps.volumes[0]}")
    finally:
        server.kill()
        server.wait()


def _is_healthy(image: Image, steps: Steps) -> bool:
    asked = [*image._enter(network=False, pid=True), *image._chrooted(steps.health)]
    return subprocess.run(asked, env=image.env, stderr=subprocess.DEVNULL).returncode == 0


def _first_process(server: subprocess.Popen) -> int:
    """nsenter becomes unshare, whose only child is the first process of the image."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    return int(children.read_text().split()[0])


if __name__ == "__main__":
    main()
