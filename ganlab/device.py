"""How this machine computes fastest: device, number format and threads, found by a short timing.

The winner is kept in a file for the machine, so that the timing (under two seconds) is paid once.
Environment variables override it: GANLAB_DEVICE (cpu, cuda), GANLAB_PRECISION (fp32, bf16),
GANLAB_LAYOUT (channels_last, contiguous) and GANLAB_THREADS (a number).
"""

import logging
import math
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganlab import courtesy
from ganlab.courtesy import going_first
from ganlab.files import read_json, write_json
from ganlab.paths import cache_dir

log = logging.getLogger(__name__)

_SECONDS_PER_CANDIDATE, _LEAST_ROUNDS = 0.3, 3
_HOPELESS = 5.0  # times as slow as the fastest one
_MOST_SECONDS = 4.0  # of all, on a machine that is busy with something else
NICE = 10  # how far behind others a thread is
LENT = "this Space's GPU is lent per call, which a training cannot use"
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
# A small GAN at 64 px, so that what wins here wins in a training, too. Of each convolution:
# channels, kernel and the side of the smaller map; a multiplication and an addition each; forward
# and twice that backward, but for the first, whose input needs no gradient.
_BATCH = 8
_DOWN = ((3, 32, 3, 32), (32, 64, 3, 16), (64, 128, 3, 8))
_UP = ((128, 64, 4, 8), (64, 32, 4, 16), (32, 3, 4, 32))
_FLOPS = [2 * _BATCH * a * b * kernel**2 * side**2 for a, b, kernel, side in (*_DOWN, *_UP)]
FLOPS_OF_TIMED_STEP = 3 * sum(_FLOPS) - _FLOPS[0]


@dataclass(frozen=True)
class Plan:
    """How to compute."""

    device: str  # "cpu" or "cuda"
    precision: str  # "fp32" or "bf16"
    threads: int  # of the CPU, within one operation
    steps_per_second: float = 0.0  # of the timed model; 0 = not timed
    layout: str = "channels_last"  # a name in LAYOUTS: how pictures and kernels lie in memory

    @property
    def memory_format(self) -> torch.memory_format:
        return LAYOUTS[self.layout]

    def autocast(self) -> AbstractContextManager:
        """A fresh context in which convolutions and products run in this plan's precision."""
        return torch.autocast(
            self.device, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=True
        )

    def apply_threads(self) -> None:
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)


class ThreadChooser:
    """Moves between all threads and half of them, to whichever is faster now.

    Threads wait for each other at the end of every operation, so a core that somebody else uses (a
    browser on the same laptop, a neighbour on the same host) can make two threads slower than one.
    Now and then the other number is tried for a while: the more often it loses, the more rarely.
    """

    FIRST_TRIAL, MOST_RARELY = 3, 48  # in stretches of training
    CLEARLY = 1.1  # faster by so much

    def __init__(self, threads: int):
        self.threads, self._other = threads, max(1, threads // 2)
        self._wait = self._left = self.FIRST_TRIAL
        self._usual: float | None = None  # speed before the trial that is under way

    def after(self, speed: float) -> int:
        """Takes the speed of the stretch that has ended; gives the threads for the next one."""
        if self._other == self.threads:
            return self.threads
        if self._usual is not None:  # this was a trial
            won = speed > self.CLEARLY * self._usual
            if won:
                self.threads, self._other = self._other, self.threads
            self._wait = self.FIRST_TRIAL if won else min(2 * self._wait, self.MOST_RARELY)
            self._left, self._usual = self._wait, None
            return self.threads
        self._left -= 1
        if self._left > 0:
            return self.threads
        self._usual = speed
        return self._other

    def after_sharing(self) -> int:
        """The same after a stretch whose speed says nothing: a trial is put off."""
        if self._usual is not None:
            self._left, self._usual = 1, None
        return self.threads


def available_cores() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpu_is_lent() -> bool:
    """Whether this is a Space on ZeroGPU: there is a GPU only inside of single calls of a minute,
    which are queued and counted. Outside of them PyTorch is patched to claim one, and may not be
    asked for it."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def cuda_is_there() -> bool:
    """Whether a training can have a GPU here."""
    return not gpu_is_lent() and torch.cuda.is_available()


def in_words() -> str:
    """What computes on this machine and, where that is a CPU, why: a line for people."""
    used = plan()
    threads = "1 thread" if used.threads == 1 else f"{used.threads} threads"
    if used.device == "cuda":
        return f"{torch.cuda.get_device_name()}, {used.precision}"
    if gpu_is_lent():
        why = LENT
    elif cuda_is_there():
        why = "GANLAB_DEVICE says so"
    else:
        why = "no GPU is here"
    return f"CPU, {threads}, {used.precision}: {why}"


@cache
def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
        return names[0] if names else platform.processor()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()


def _timed_step() -> Callable[[Plan], None]:
    """A miniature of a training step: strided and transposed convolutions, forward and back."""
    layers: list[nn.Module] = []
    for a, b, kernel, _ in _DOWN:
        layers += [nn.Conv2d(a, b, kernel, 2, 1), nn.LeakyReLU(0.2)]
    for a, b, kernel, _ in _UP:
        layers += [nn.BatchNorm2d(a), nn.ConvTranspose2d(a, b, kernel, 2, 1), nn.ReLU()]
    net = nn.Sequential(*layers)
    x = torch.randn(_BATCH, 3, 64, 64)

    def step(plan: Plan) -> None:
        net.to(plan.device, memory_format=plan.memory_format)
        with plan.autocast():
            y = net(x.to(plan.device).contiguous(memory_format=plan.memory_format))
        F.mse_loss(y.float(), torch.zeros_like(y, dtype=torch.float32)).backward()

    return step


def _time(plans: list[Plan], step: Callable[[Plan], None], deadline: float) -> list[Plan]:
    """The plans with their measured speeds: the best of several rounds, 0 if none had begun by the
    deadline.

    In each round every plan takes its turn, so that what else keeps the machine busy, which comes
    and goes, does not decide between them. A precision that was hopeless in a round, in every
    layout, has no other: where bf16 is emulated, it takes nine times as long as fp32.
    """
    best, hopeful = [math.inf] * len(plans), {plan.precision for plan in plans}
    end, rounds = time.perf_counter() + _SECONDS_PER_CANDIDATE * len(plans), 0
    while rounds < _LEAST_ROUNDS or time.perf_counter() < end:
        took = {}
        for i, plan in enumerate(plans):
            if plan.precision not in hopeful:
                continue
            if time.perf_counter() >= deadline:
                return _with_speeds(plans, best)
            plan.apply_threads()
            step(plan)  # brings the weights into its layout
            start = time.perf_counter()
            step(plan)
            if plan.device == "cuda":
                torch.cuda.synchronize()
            took[i] = time.perf_counter() - start
            best[i] = min(best[i], took[i])
        most = _HOPELESS * min(took.values())
        hopeful = {plans[i].precision for i, seconds in took.items() if seconds <= most}
        rounds += 1
    return _with_speeds(plans, best)


def _with_speeds(plans: list[Plan], seconds: list[float]) -> list[Plan]:
    return [replace(plan, steps_per_second=1 / t) for plan, t in zip(plans, seconds, strict=True)]


def measure() -> Plan:
    """Times what could be best here and gives the fastest. Under two seconds; on a busy machine,
    the fastest of what was timed in four, besides what PyTorch loads at a first step."""
    threads_before = torch.get_num_threads()
    cores = available_cores()
    step = _timed_step()
    on_cuda = cuda_is_there()
    precisions = ["fp32"] if on_cuda and not torch.cuda.is_bf16_supported() else ["fp32", "bf16"]
    plans = [
        Plan("cuda" if on_cuda else "cpu", precision, cores, layout=layout)
        for precision in precisions
        for layout in LAYOUTS
    ]
    step(plans[0])
    deadline = time.perf_counter() + _MOST_SECONDS
    timed = _time(plans, step, deadline)
    best = max(timed, key=lambda plan: plan.steps_per_second)
    # Two threads on one core's halves help some machines only.
    if not on_cuda and cores > 2 and time.perf_counter() < deadline:
        timed += _time([replace(best, threads=cores // 2)], step, deadline)
        best = max(timed, key=lambda plan: plan.steps_per_second)
    torch.set_num_threads(threads_before)
    log.info("device timing: %s", timed)
    return best


def plan(precision: str = "auto") -> Plan:
    """The plan for this machine, timed on first use, with what the user asked for on top."""
    file = cache_dir() / "device.json"
    machine = {
        "cpu": _cpu_name(),
        "cores": available_cores(),
        "cuda": torch.cuda.get_device_name() if cuda_is_there() else None,
        "torch": torch.__version__,
    }
    found = None
    if file.exists():
        try:
            saved = read_json(file)
            if saved["machine"] == machine and saved["plan"]["steps_per_second"] > 0:
                found = Plan(**saved["plan"])
        except (KeyError, TypeError, ValueError) as error:  # ValueError: neither JSON nor text
            log.warning("%s is damaged (%s): timing again", file, error)
    if found is None:
        found = measure()
        try:
            write_json(file, {"machine": machine, "plan": found.__dict__})
        except OSError as error:  # it only costs the time to measure again
            log.warning("%s cannot be written: %s", file, error)
    return _overridden(found, precision)


def _overridden(found: Plan, precision: str) -> Plan:
    device = os.environ.get("GANLAB_DEVICE", found.device)
    if device not in ("cpu", "cuda"):
        raise ValueError(f"GANLAB_DEVICE is {device!r}: set it to cpu or cuda")
    if device == "cuda" and gpu_is_lent():
        raise ValueError(f"GANLAB_DEVICE is 'cuda', but {LENT}: set it to cpu, or leave it out")
    if device == "cuda" and not cuda_is_there():
        raise ValueError("GANLAB_DEVICE is 'cuda', but PyTorch finds no CUDA device here")
    if precision == "auto":
        precision = os.environ.get("GANLAB_PRECISION", found.precision)
        if precision not in ("fp32", "bf16"):
            raise ValueError(f"GANLAB_PRECISION is {precision!r}: set it to fp32 or bf16")
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision is {precision!r}: choose auto, fp32 or bf16")
    threads = os.environ.get("GANLAB_THREADS", str(found.threads))
    if not threads.isdecimal() or int(threads) < 1:
        raise ValueError(f"GANLAB_THREADS is {threads!r}: set it to a whole number from 1")
    layout = os.environ.get("GANLAB_LAYOUT", found.layout)
    if layout not in LAYOUTS:
        raise ValueError(f"GANLAB_LAYOUT is {layout!r}: set it to {' or '.join(LAYOUTS)}")
    return replace(found, device=device, precision=precision, threads=int(threads), layout=layout)


def warm_up() -> None:
    """Loads what PyTorch leaves to a process's first optimiser: its compiler, a second or two of
    imports, which else the first visitor waits for."""
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])


def _hands(number: int, *, are_last: bool = False) -> ThreadPoolExecutor:
    """Threads that draw; `are_last`: on a core that nothing else needs, where the system knows such
    threads."""

    def begin() -> None:
        torch.set_num_threads(1)
        if are_last and sys.platform == "linux":
            me = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, me, max(NICE, os.getpriority(os.PRIO_PROCESS, me)))

    return ThreadPoolExecutor(number, "ganlab-draws", begin)


_HANDS = _hands(available_cores())
# Beside these a training waits for a core for 9 % of its time, beside equal ones it was 18 %.
_FEW_HANDS = _hands(available_cores() - courtesy.half(available_cores()) or 1, are_last=True)


def side_by_side(draw: Callable[[Tensor], np.ndarray], z: Tensor) -> np.ndarray:
    """What `draw` makes of latents (N, z_dim), for somebody who waits for it: a part of them on
    each core. Threads within an operation would wait for each other after every one of them, and
    where a browser has the same cores, that took half as long again.
    """
    threads, hands = plan().threads, _HANDS
    if courtesy.is_short():
        threads, hands = courtesy.half(threads), _FEW_HANDS
    parts = z.tensor_split(min(threads, len(z)))
    with going_first():
        return np.concatenate(list(hands.map(draw, parts)))


@contextmanager
def quick_threads() -> Iterator[None]:
    """For what somebody waits for, within this thread: as many as the machine has to offer."""
    before, threads = torch.get_num_threads(), plan().threads
    torch.set_num_threads(courtesy.half(threads) if courtesy.is_short() else threads)
    try:
        with going_first():
            yield
    finally:
        torch.set_num_threads(before)


def threads_are_fixed() -> bool:
    """Whether the user has said how many."""
    return "GANLAB_THREADS" in os.environ
