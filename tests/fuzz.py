"""Anything that somebody could send to an endpoint: rubbish, and good values with a part spoilt."""

import base64
import copy
import json
import random
import struct
from dataclasses import dataclass, field
from typing import Any

MARKUP = "<img src=x onerror=alert(1)>"
NUMBERS = [
    0, -1, 1, 2, 0.5, 4, 1.5, 64, 2**31, 2**53, 2**63, 10**30, 1e308, -1e308, 5e-324,
    float("nan"), float("inf"), -float("inf"),
]  # fmt: skip
TEXTS = [
    "", " ", "x", "0", "-1", "nan", "a" * 100_000, "🙂" * 1000, "\ud800", "a\0b", "\u202e", MARKUP,
    '"><script>alert(1)</script>', "{0.__class__}%s%n", "$(id) `id`; rm -rf x", "' OR 1=1 --",
    "/etc/passwd", "../../etc/passwd", "..", "file:///etc/passwd", "http://127.0.0.1:9/", "{", "[]",
    "null", '{"head": "x", "z": "!!!"}', "a=1,b=nan", "=,=,=", "x=1e309", "0" * 16, "avatars64",
]  # fmt: skip
KEYS = ["__type__", "__class__", "path", "meta", "url", "value", "tokens", "run", "", MARKUP]
ACTS = ["rename", "delete", "undelete", "duplicate"]  # of the gallery
DOES = ["use", "keep", "rename", "delete", "teach"]  # of directions
LARGE = [[0] * 100_000, dict.fromkeys(map(str, range(3000)))]
FAR = {"meta": {"_type": "gradio.FileData"}, "orig_name": "../x.png", "size": -1}
FILES = [
    {"path": path, **FAR}
    for path in (
        "/etc/passwd", "app.py", "../../etc/passwd", "", "/", "a\0b", "http://127.0.0.1:9/x.png",
        "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "x" * 5000, None, 7,
    )
] + [
    {"path": "x.png", "url": "http://127.0.0.1:9/x.png", **FAR},
    {"url": "http://127.0.0.1:9/x.png", **FAR},
    {"meta": {"_type": "gradio.FileData"}},
    {"__type__": "update", "value": "x", "choices": [1], "visible": False},
]  # fmt: skip


def latent(n: int = 64, value: float = 0.1) -> str:
    return base64.b64encode(struct.pack(f"<{n}f", *[value] * n)).decode()


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@dataclass
class Rubbish:
    """Makes values; the same seed and ids make the same ones.

    Attributes:
        ids: runs of others, which are to be tried where a run's id may be wanted.
        uploads: files that were uploaded, as events name them.
    """

    seed: int
    ids: list[str] = field(default_factory=list)
    uploads: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def value(self) -> Any:
        """Of any type and size."""
        rng = self.rng
        kinds = [
            lambda: rng.choice([None, True, False, [], {}]),
            lambda: rng.choice(NUMBERS),
            lambda: rng.choice(TEXTS),
            lambda: rng.choice(self.ids or TEXTS),
            lambda: rng.choice(FILES + self.uploads),
            lambda: [rng.choice(FILES + self.uploads), rng.choice(NUMBERS)],
            lambda: [rng.choice(TEXTS + NUMBERS) for _ in range(rng.randrange(5))],
            lambda: {rng.choice(KEYS): rng.choice(TEXTS + NUMBERS) for _ in range(3)},
            self.plausible,
            lambda: self.spoilt(self.plausible()),
            lambda: rng.choice(
                [nested(10), nested(300), [0] * 100_000, {str(i): i for i in range(3000)}]
            ),
        ]
        return rng.choices(kinds, [3, 4, 5, 3, 3, 1, 2, 2, 3, 4, 0.3])[0]()

    def plausible(self) -> Any:
        """As a browser keeps or a page sends it."""
        rng, run = self.rng, self.rng.choice(self.ids or ["0" * 16])
        z = latent(rng.choice([64, 8, 1, 128]), rng.choice([0.1, 1e30, float("nan")]))
        favourite = {"model": "avatars64", "title": MARKUP, "head": "avataaars", "z": z}
        return rng.choice(
            [
                {"run": run, "tokens": {run: "t" * 43}, "deleted": {run: "t"}},
                {"tokens": {run: ["t"]}, "deleted": []},
                {"0123456789abcdef": favourite},
                {"avatars64": [{"name": MARKUP, "vector": z}]},
                {"names": ["a"], "shares": [1, 0.5, 0], "locks": [True], "of": "avatars64"},
                {"shares": [rng.choice(NUMBERS) for _ in range(5)]},
                json.dumps({"head": "avataaars", "z": z}),
                {"act": rng.choice(ACTS), "name": run, "to": "x"},
                {"do": rng.choice(DOES), "name": "hair", "vector": z, "place": 0,
                 "latent": json.dumps({"head": "x", "z": z}),
                 "more": [json.dumps({"head": "x", "z": z})], "less": [z]},
                {"latent": json.dumps({"head": "avataaars", "z": z}), "remove": "x", "index": 0},
                "avatars64", "fashion32", "avataaars", run, z, latent(), 7, 0.7,
            ]
        )  # fmt: skip

    def spoilt(self, good: Any) -> Any:
        """The same, but for one part of it."""
        spoilt, rng = copy.deepcopy(good), self.rng
        inner = spoilt
        while isinstance(inner, (dict, list)) and inner:
            place = rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            if isinstance(inner[place], (dict, list)) and inner[place] and rng.random() < 0.7:
                inner = inner[place]
                continue
            if isinstance(inner, dict) and rng.random() < 0.3:
                inner[rng.choice(KEYS)] = inner.pop(place)
            else:
                inner[place] = rng.choice([*NUMBERS, *TEXTS, None, [], {}, *FILES])
            return spoilt
        return rng.choice(TEXTS)

    def question(self) -> Any:
        """What a script of the page could ask, with a part spoilt, or anything else."""
        run = self.rng.choice([*self.ids, "avatars64", "fashion32"])
        z, picked = latent(8), json.dumps({"head": "avataaars", "z": latent(64)})
        of = ["avatars64", "", 1, 1, picked]
        good = {
            "of": self.rng.choice([of, [run, *of[1:]], run]), "steps": [7], "known": {},
            "query": f"?generator={run}&seed=1", "shares": [0.5] * 5, "texture": None, "mode": "x",
            "model": run, "head": "avataaars", "seed": 1, "truncation": 1, "latent": picked,
            "vectors": [z, latent(64)], "moves": [[latent(64), 1]], "start": 0, run: "x",
        }  # fmt: skip
        few = {key: good[key] for key in good if self.rng.random() < 0.8}
        return self.rng.choice([good, few, self.spoilt(good), self.spoilt(few), self.value()])

    def arguments(self, good: list[Any], choices: list[list[Any]]) -> list[Any]:
        """What an endpoint is sent that a page would send `good`: mostly this with one or two
        values spoilt, sometimes all rubbish or a wrong count.

        Args:
            choices: what each input lets its visitors choose from; [] = anything.
        """
        rng, data = self.rng, list(good)
        how = rng.random()
        for place, offered in enumerate(choices):
            if offered and rng.random() < 0.5:
                data[place] = rng.choice(offered)
            elif data[place] in (None, "") and rng.random() < 0.5:
                data[place] = self.plausible()
        if how < 0.7:
            for _ in range(rng.randint(0, min(2, len(data)))):
                data[rng.randrange(len(data))] = self.value()
            return data
        if how < 0.9:
            return [self.value() for _ in data]
        return [
            self.value() for _ in range(rng.choice([0, 1, len(data) + 3, max(0, len(data) - 1)]))
        ]
