"""The app on ZeroGPU, where PyTorch claims a GPU that there is only within a call. (A stand-in: the
`spaces` package itself needs PyTorch's CUDA build.)"""

from html import unescape
from pathlib import Path

from conftest import make_known

from faults.acts import SMALL, Visitor, wait_for
from faults.forked import ForkedServer
from ganlab.device import LENT
from ganlab.runs import Run

ZERO_GPU = """
import sys
import types

import torch

def touched(*given, **named):
    print("CUDA was touched", flush=True)
    raise RuntimeError("No CUDA GPUs are available")

def asked():
    print("CUDA was touched", flush=True)  # the answer opens the driver
    return True

spaces = types.ModuleType("spaces")
spaces.GPU = lambda function: print("declared", function.__name__, flush=True)
sys.modules["spaces"] = spaces
torch.cuda.is_available = asked
for name in ("_lazy_init", "current_device", "get_device_name", "is_current_stream_capturing"):
    setattr(torch.cuda, name, touched)
"""


def foot(visitor: Visitor) -> str:
    """What the page says of the machine."""
    classes = {id: each["props"].get("elem_classes") for id, each in visitor.components.items()}
    line = next(id for id, names in classes.items() if "gl-foot" in str(names))
    tells = next(each for each in visitor.endpoints.values() if each["outputs"] == [line])
    return unescape(visitor.call(tells, [])[0])


def test_a_training_stays_on_the_cpu_and_the_page_says_so(nursery, tmp_path: Path):
    first = tmp_path / "zero_gpu.py"
    first.write_text(ZERO_GPU)
    settings = {"SPACES_ZERO_GPU": "true", "SPACE_ID": "somebody/ganlab"}
    server = ForkedServer(nursery, tmp_path / "server", first=first, **settings)
    make_known(server.home)
    server.start()
    try:
        visitor = Visitor(server.url)
        run_id = visitor.start(20, unit="steps", **SMALL)
        wait_for(lambda: server.status_of(run_id)["state"] == "finished", "it trains")
        visitor.look_at(run_id)
        assert Run(server.path_of(run_id)).about["plan"]["device"] == "cpu"
        assert LENT in foot(visitor)
        assert server.said().count("declared") == 1 and "CUDA was touched" not in server.said()
        visitor.close()
    finally:
        server.kill()
