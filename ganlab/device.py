"""How this machine computes fastest: device, number format and threads, found by a short timing.

The winner is kept in a file for the machine, so that the timing (under two seconds) is paid once;
one that others' work spoilt is repeated by the next processes.
Environment variables override it: GANLAB_DEVICE (cpu, cuda), GANLAB_PRECISION (fp32, bf16),
GANLAB_LAYOUT (channels_last, contiguous) and GANLAB_THREADS (a number).
"""

import logging
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ganlab.files import read_json, write_json
from ganlab.paths import cache_dir

log = logging.getLogger(__name__)

_SECONDS_PER_CANDIDATE, _LEAST_ROUNDS = 0.3, 3
_HOPELESS = 5.0  # times as slow as the fastest one
_MOST_SECONDS = 4.0  # of all, on a machine that is busy with something else
_MOST_TIMINGS = 3  # by as many processes, where it is busy each time
_ALONE = 0.75  # of the cores' time: alone, a timing gets 0.96 of it, beside one other 0.6
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
    was_busy: bool = field(default=False, compare=False)  # the machine, with something else

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


def available_cores() -> int:
    """Cores that this process may use, which can be fewer than the machine has: a container is
    often given the time of some, and sees all of them."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(seen or 1, _cores_given()))


@cache
def _cores_given(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """By the time that a container gets of the processors (control groups, version 2)."""
    try:
        time_given, period = file.read_text().split()
        return math.ceil(int(time_given) / int(period))
    except (OSError, ValueError):  # not Linux, another version, or "max": all of them
        return sys.maxsize


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
    began, worked = time.perf_counter(), time.process_time()
    deadline = began + _MOST_SECONDS
    timed = _time(plans, step, deadline)
    share = (time.process_time() - worked) / (time.perf_counter() - began) / cores
    best = max(timed, key=lambda plan: plan.steps_per_second)
    # Two threads on one core's halves help some machines only.
    if not on_cuda and cores > 2 and time.perf_counter() < deadline:
        timed += _time([replace(best, threads=cores // 2)], step, deadline)
        best = max(timed, key=lambda plan: plan.steps_per_second)
    torch.set_num_threads(threads_before)
    log.info("device timing, with %.0f %% of the cores: %s", 100 * share, timed)
    return replace(best, was_busy=not on_cuda and share < _ALONE)


_of_this_process: dict[Path, Plan] = {}  # what is not to be believed, or could not be kept


def plan(precision: str = "auto") -> Plan:
    """The plan for this machine, timed on first use, with what the user asked for on top."""
    file = cache_dir() / "device.json"
    saved, timings = _read(file)
    if saved and (not saved.was_busy or timings >= _MOST_TIMINGS):
        return _overridden(saved, precision)
    found = _of_this_process.get(file)
    if not found:
        found = measure()
        if saved and found.was_busy:
            found = max(saved, found, key=lambda plan: plan.steps_per_second)
        if not _write(file, found, timings + 1) or found.was_busy:
            _of_this_process[file] = found
    return _overridden(found, precision)


def _machine() -> dict[str, Any]:
    return {
        "cpu": _cpu_name(),
        "cores": available_cores(),
        "cuda": torch.cuda.get_device_name() if cuda_is_there() else None,
        "torch": torch.__version__,
    }


def _read(file: Path) -> tuple[Plan | None, int]:
    """This machine's plan, and by how many timings."""
    if not file.exists():
        return None, 0
    try:
        saved = read_json(file)
        if saved["machine"] == _machine() and saved["plan"]["steps_per_second"] > 0:
            return Plan(**saved["plan"]), int(saved.get("timings", 1))
    except (KeyError, TypeError, ValueError) as error:  # ValueError: neither JSON nor text
        log.warning("%s is damaged (%s): timing again", file, error)
    return None, 0


def _write(file: Path, found: Plan, timings: int) -> bool:
    """Whether it could be."""
    content = {"machine": _machine(), "plan": found.__dict__, "timings": timings}
    try:
        write_json(file, content)
    except OSError as error:  # it only costs the next process the time to measure again
        log.warning("%s cannot be written: %s", file, error)
        return False
    return True


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
