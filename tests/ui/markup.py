"""HTML as a browser reads it, and what a figure may show: runs, pictures, hostile text."""

from html.parser import HTMLParser

import numpy as np

from ganlab.config import TrainConfig
from ganlab.sampling import to_jpeg
from ganlab.views import JobView

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</span></div><style>*{display:none}",
    "a & b < c > d",
    "&lt;b&gt;",
    "<!-- ",
]


class Page(HTMLParser):
    """Reads HTML as a browser would: which elements, attributes and text there are."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= dict(attrs)
        if tag not in ("img", "rect", "circle", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("img", "rect", "circle", "path"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")


def read(html: str) -> Page:
    page = Page(html)
    assert page.open == []  # every element is closed
    return page


def view(state: str = "running", **changes) -> JobView:
    config = changes.pop("config", TrainConfig(data="avatars"))
    return JobView("a" * 16, 1, config, ("micah",), state, **changes)


def derived(origin: str, *edits: str) -> JobView:
    """The view of edited heads."""
    return view("finished", derived_from=origin, edits=edits, step=len(edits))


def jpeg(width: int, height: int) -> bytes:
    return to_jpeg(np.zeros((height, width, 3), np.uint8))
