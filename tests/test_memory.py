"""The memory that a page leaves behind."""

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import pytest

# Sixteen threads at once: how many arenas does malloc have then? (malloc_stats tells on stderr)
COUNT = """
import ctypes, sys, threading
sys.path.insert(0, sys.argv[1])
from ganlab import memory
if sys.argv[2] == "little":
    memory.keep_little()
meet = threading.Barrier(16)
def take():
    meet.wait()
    kept = [bytes(5000) for _ in range(100)]
    meet.wait()
threads = [threading.Thread(target=take) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_stats"), reason="not glibc")
def test_many_threads_share_two_arenas():
    def arenas(how: str) -> int:
        command = [sys.executable, "-c", COUNT, str(Path(__file__).parents[1]), how]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        return len(re.findall(r"^Arena \d+:", told, re.MULTILINE))

    assert arenas("little") == 2 < arenas("as it was")


# What lies before something that is still used stays with the process, unless it is given back.
HOLD = """
import re, sys
sys.path.insert(0, sys.argv[1])
from ganlab import memory
def mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
kept = [bytes(5000) for _ in range(20_000)]
del kept[:-1]
held = mb()
memory.give_back()
print(held - mb())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_what_is_free_is_given_back():
    command = [sys.executable, "-c", HOLD, str(Path(__file__).parents[1])]
    freed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(freed) > 80  # MB, of 100
