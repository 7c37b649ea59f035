"""How gradio is imported."""

import subprocess
import sys

import pytest

# Prints how many stubs for editors were opened.
COUNT_STUBS = """
import sys
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
import {module}
import gradio
print(sum(name.endswith('.pyi') for name in opened), gradio.Textbox.__name__)
"""


@pytest.mark.parametrize(("module", "looks"), [("gradio", True), ("ganlab.ui", False)])
def test_gradio_does_not_look_through_its_source_for_the_page(module, looks):
    code = COUNT_STUBS.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    stubs, name = done.stdout.split()
    assert (int(stubs) > 0) == looks
    assert name == "Textbox"


def test_afterwards_every_class_has_a_source_again():
    code = "import inspect, ganlab.ui, gradio; print(inspect.getfile(gradio.Textbox))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("textbox.py")
