"""gradio is imported here, before anything else of the page asks for it, in half the time.

At each import it looks through the source of all its components, to write for editors (`.pyi`)
which events they have. It leaves out a class whose source it does not find.
"""

import inspect
import sys
from typing import Any

_getfile = inspect.getfile


def _hide_components(of: Any, /) -> str:
    if isinstance(of, type) and of.__module__.startswith("gradio."):
        raise OSError("not looked for while gradio is imported")
    return _getfile(of)


if "gradio" not in sys.modules:
    inspect.getfile = _hide_components
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = _getfile
