"""Measures what the README says of a page that many use at once: times, memory, and the training.

    python -m scripts.load_test                      # twenty visitors for five minutes
    python -m scripts.load_test --soak 60            # an hour of short runs, one after another

Starts the app as a public page in a folder of its own. Every visitor is a thread that sends what
a browser would: loads the page, asks for news as often as it is told to, and every ten to twenty
seconds looks at samples, moves a slider of Blend or uploads pictures. Two runs are queued all the
time.
"""

import argparse
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # what drives the app there, too
from raw_http import Raw
from served import Server

MINUTE = 60.0
SECONDS_BETWEEN_COUNTS = 5.0
SECONDS_BETWEEN = (10.0, 20.0)  # of a visitor's acts
PICTURES = 12
STEPS_OF_DRAG = 5
LEAST_OF_SPEED, MOST_GROWN = 0.7, 0.1  # or it falls short
MOST_MORE = 8  # threads or open files at the end
ASSET = re.compile(r'(?:src|href)="(\./assets/[^"]+)"')

Counts = tuple[float, int, int]  # MB of memory, threads, open files


class Watch:
    """What is measured, from all threads."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []
        self.over = threading.Event()

    def time(self, what: str, act, *args):
        began = time.perf_counter()
        try:
            return act(*args)
        except Exception as error:  # whatever it is, it is a finding
            self.errors.append(f"{what}: {error!r}")
            return None
        finally:
            self.times[what].append(time.perf_counter() - began)


class Process:
    """The server's process, as the system sees it."""

    def __init__(self, pid: int):
        self.folder = Path(f"/proc/{pid}")

    def count(self) -> Counts:
        """MB of memory, threads, open files."""
        status = (self.folder / "status").read_text()
        rss = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
        threads = int(re.search(r"Threads:\s+(\d+)", status)[1])
        return rss, threads, len(list((self.folder / "fd").iterdir()))

    def count_until(self, end: float) -> Counts:
        """The medians until then, on the monotonic clock: a moment is no trend."""
        counts = [self.count()]
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SECONDS_BETWEEN_COUNTS))
            counts.append(self.count())
        rss, threads, files = (statistics.median(each) for each in zip(*counts, strict=True))
        return rss, int(threads), int(files)


class Visitor:
    """One visitor with a page of their own."""

    def __init__(self, url: str, watch: Watch, pictures: list[Path]):
        self.url, self.watch, self.pictures = url, watch, pictures
        self.key = f"{random.getrandbits(128):032x}"
        self.store = {"visitor": self.key, "tokens": {}}
        self.page: Raw | None = None
        self.run_id = ""  # that it follows

    def load(self) -> None:
        """The page, and on a first visit what it loads."""
        is_first = self.page is None
        if self.page:
            self.page.close()
        self.page = Raw(self.url)
        if is_first:
            html = self.page.http.get("/").raise_for_status().text
            for asset in ASSET.findall(html):
                self.page.http.get(asset).raise_for_status()
        self.page.fire(self.page.tab("browse"), "select")

    def tick(self, run_id: str) -> None:
        timer, endpoint = self.rhythm()
        if run_id != self.run_id:  # a page turns to it with its first interval
            self.run_id, self.page.values[timer] = (
                run_id,
                self.page.components[timer]["props"]["value"],
            )
        _, _, *rest = self.page.defaults(endpoint)
        answers = self.page.call(endpoint, [run_id, self.store, *rest])
        self.page.take_over(endpoint, answers)

    def rhythm(self) -> tuple[int, dict[str, Any]]:
        """The timer that asks for a run's news, and is told when to ask again."""
        return next(
            (component, endpoint)
            for endpoint in self.page.endpoints.values()
            for component, on in endpoint["targets"]
            if on == "tick" and component in endpoint["inputs"]
        )

    def is_over_before_the_next_tick(self) -> bool:
        seconds = self.page.values[self.rhythm()[0]] if self.page else 1.0
        return self.watch.over.wait(random.uniform(0.9, 1.1) * seconds)

    def sample(self) -> None:
        self.page.values[self.page.named("browse-seed")] = random.randrange(1000)
        self.page.fire(self.page.named("browse-seed"), "input")
        assert "data:image" in str(self.page.values[self.page.named("browse-picture")])

    def open_blend(self) -> None:
        self.page.fire(self.page.tab("blend"), "select")

    def slide(self, moves: bool) -> None:
        """One step of a drag; `moves`: not yet where the hand rests."""
        mixer = self.page.values[self.page.named("mixer")]
        picture = self.page.values[self.page.named("blend-picture")]
        query = re.search(r'data-query="([^"]+)"', picture)[1].replace("&amp;", "&")
        shares = np.random.dirichlet(np.ones(len(mixer["names"]))).round(4).tolist()
        asked = {"query": query, "of": mixer["of"], "shares": shares, "texture": [], "width": 1440}
        asked["moves"] = moves
        body = {
            "data": asked,
            "component_id": self.page.named("blend-picture"),
            "fn_name": "follow",
            "session_hash": self.page.session,
        }
        answer = self.page.http.post("/gradio_api/component_server/", json=body)
        assert "data:image" in answer.raise_for_status().text

    def upload(self) -> None:
        files = self.page.upload(*self.pictures)
        endpoint = self.page.find("pictures", "upload")
        self.page.call(endpoint, ["", files])

    def visit(self, run_of: list[str]) -> None:
        """Until it is over."""
        watch = self.watch
        watch.time("page load", self.load)
        act_at = time.monotonic() + random.uniform(0, SECONDS_BETWEEN[1])
        while not self.is_over_before_the_next_tick():
            watch.time("tick", self.tick, run_of[0])
            if time.monotonic() < act_at:
                continue
            act_at = time.monotonic() + random.uniform(*SECONDS_BETWEEN)
            kind = random.choices(("sample", "slider", "upload", "load"), (5, 5, 1, 1))[0]
            if kind == "sample":
                watch.time("sample", self.sample)
            elif kind == "slider":
                watch.time("blend opens", self.open_blend)
                for step in range(STEPS_OF_DRAG):
                    watch.time("slider", self.slide, step < STEPS_OF_DRAG - 1)
            elif kind == "upload":
                watch.time("upload", self.upload)
            else:
                watch.time("page load", self.load)


class Trainers:
    """Two visitors who queue a run again as soon as theirs is over."""

    def __init__(self, server: Server, watch: Watch, seconds: float):
        self.server, self.watch, self.seconds = server, watch, seconds
        self.run_of = [""]  # the one to look at

    def queue(self, visitor: Visitor) -> str:
        page = visitor.page or Raw(self.server.url)
        visitor.page = page
        endpoint = page.find("start", "click")
        page.values[page.named("amount")] = self.seconds
        _, *settings = page.defaults(endpoint)
        run_id, *_ = page.call(endpoint, [visitor.store, *settings])
        self.run_of[0] = run_id
        return run_id

    def keep_queued(self, visitor: Visitor) -> None:
        run_id = ""
        while not self.watch.over.is_set():
            try:
                if not run_id or self.server.state_of(run_id) not in ("queued", "running"):
                    run_id = self.watch.time("start", self.queue, visitor) or ""
            except FileNotFoundError:
                run_id = ""
            self.watch.over.wait(0.5)


def step_of(server: Server) -> int:
    """Of all runs."""
    total = 0
    for file in server.home.glob("runs/*/status.json"):
        lines = (
            (file.parent / "metrics.jsonl").read_text().splitlines()
            if (file.parent / "metrics.jsonl").exists()
            else []
        )
        total += int(re.search(r'"step": (\d+)', lines[-1])[1]) if lines else 0
    return total


def drawings(folder: Path) -> list[Path]:
    paths = [folder / f"{i}.png" for i in range(PICTURES)]
    rng = np.random.default_rng(0)
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
        coarse.resize((300, 300)).save(path)
    return paths


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def load(server: Server, folder: Path, visitors: int, minutes: float) -> list[str]:
    """Gives what falls short."""
    process, watch, pictures = Process(server.pid), Watch(), drawings(folder)
    trainers = Trainers(server, watch, seconds=60.0)
    threads = [
        threading.Thread(target=trainers.keep_queued, args=[Visitor(server.url, watch, pictures)])
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    time.sleep(20)  # for what the first run prepares
    before, began = step_of(server), time.monotonic()
    time.sleep(60)
    alone = (step_of(server) - before) / (time.monotonic() - began)
    print(f"training alone: {alone:.1f} steps/s")
    watch.times.clear()
    others = [
        threading.Thread(target=Visitor(server.url, watch, pictures).visit, args=[trainers.run_of])
        for _ in range(visitors)
    ]
    for thread in others:
        thread.start()
        time.sleep(0.3)
    before, began, counts = step_of(server), time.monotonic(), []
    own = time.process_time()
    for minute in range(1, int(minutes) + 1):
        counts.append(process.count_until(began + minute * MINUTE))
        rss, n_threads, files = counts[-1]
        print(f"minute {minute}: {rss:.0f} MB, {n_threads} threads, {files} open files", flush=True)
    spent = time.monotonic() - began
    busy = (step_of(server) - before) / spent
    own = (time.process_time() - own) / spent
    watch.over.set()
    for thread in [*threads, *others]:
        thread.join()
    print("| what | times | p50 | p95 | longest |\n|---|---|---|---|---|")
    for what, spent in sorted(watch.times.items()):
        p50, p95 = quantile(spent, 0.5), quantile(spent, 0.95)
        print(f"| {what} | {len(spent)} | {p50:.3f} s | {p95:.3f} s | {max(spent):.2f} s |")
    print(f"training: {busy:.1f} steps/s, {busy / alone:.0%} of its speed alone")
    print(f"the visitors themselves, on the same machine: {own:.0%} of a core")
    print(f"memory: {counts[-1][0] / counts[0][0] - 1:+.1%} from minute 1 to {len(counts)}")
    print(f"errors: {len(watch.errors)}", *watch.errors[:20], sep="\n  ")
    return short_of(watch, counts[0], counts[-1]) + (
        ["the training kept too little of its speed"] if busy < LEAST_OF_SPEED * alone else []
    )


def short_of(watch: Watch, first: Counts, last: Counts) -> list[str]:
    """Args: what the server held at first and at last."""
    grew = abs(last[0] / first[0] - 1) > MOST_GROWN
    return (
        ["requests failed"] * bool(watch.errors)
        + ["memory is not flat"] * grew
        + ["threads grew"] * (last[1] > first[1] + MOST_MORE)
        + ["open files grew"] * (last[2] > first[2] + MOST_MORE)
    )


def soak(server: Server, minutes: float) -> list[str]:
    """Gives what falls short."""
    process, watch = Process(server.pid), Watch()
    trainers = Trainers(server, watch, seconds=2.0)
    threads = [
        threading.Thread(target=trainers.keep_queued, args=[Visitor(server.url, watch, [])])
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    began, counts = time.monotonic(), {}
    for minute in range(1, int(minutes) + 1):
        counts[minute] = process.count_until(began + minute * MINUTE)
        rss, n_threads, files = counts[minute]
        states = [server.state_of(run_id) for run_id in server.run_ids()]
        print(
            f"minute {minute}: {rss:.0f} MB, {n_threads} threads, {files} open files, "
            f"{states.count('finished')} runs finished, {states.count('failed')} failed",
            flush=True,
        )
    watch.over.set()
    for thread in threads:
        thread.join()
    first = counts.get(10) or counts[1]
    recent = tuple(map(statistics.median, zip(*list(counts.values())[-5:], strict=True)))
    print(f"memory: {recent[0] / first[0] - 1:+.1%} from minute 10 to the end")
    print(f"errors: {len(watch.errors)}", *watch.errors[:20], sep="\n  ")
    failed = states.count("failed")
    return short_of(watch, first, recent) + [f"{failed} runs failed"] * bool(failed)


def main() -> str | None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--soak", type=float, help="minutes of short runs instead")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"GANLAB_PROFILE": "public", "GANLAB_MAX_DISK_MB": "none"}
        settings["GANLAB_THREADS"] = None  # as a Space has it: the app chooses as it goes
        server = Server(Path(folder), **settings)
        server.start()
        print(f"the page answers after {server.boot_seconds:.1f} s")
        try:
            if args.soak:
                short = soak(server, args.soak)
            else:
                short = load(server, Path(folder), args.visitors, args.minutes)
        finally:
            server.kill()
    return "; ".join(short) or None


if __name__ == "__main__":
    sys.exit(main())
