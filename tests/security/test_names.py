"""Names of runs, heads, data, directions, favourites and files are shown as text, everywhere."""

import json
import random
import re
import zipfile

import numpy as np
from conftest import drawn
from fuzz import MARKUP, latent
from raw_http import Raw, Refused

from .conftest import FORMAT, NAMES, Victim

ROUNDS = 8  # with other combinations
DANGER = re.compile(r"<img src=x|<script>alert|onerror=alert\(1\)>", re.IGNORECASE)


def stores(victim: Victim) -> list[dict]:
    """What a browser keeps, with markup wherever a text may be; each store has keys of its own.
    (Of the token it has only the place: the run is to stay.)"""
    favourite = {"model": victim.run_id, "title": MARKUP, "head": NAMES[0], "z": latent(8)}
    gone = {**favourite, "model": MARKUP}
    return [
        {"run": victim.run_id, "tokens": {victim.run_id: "no token", MARKUP: MARKUP}},
        {"0" * 16: favourite, "1" * 16: gone, MARKUP: favourite},
        {name: [{"name": MARKUP, "vector": latent(8)}] for name in (victim.run_id, "avatars64")},
    ]


def fitting(page: Raw, victim: Victim, endpoint: dict, rng: random.Random) -> list:
    """What a page that looks at the run could send."""
    data = page.defaults(endpoint)
    texts = [
        victim.run_id, victim.run_id, NAMES[0], MARKUP, "",
        json.dumps({"head": NAMES[1], "z": latent(8)}),
        "\n".join([victim.run_id, "", *NAMES]),  # as Blend notes whose heads are mixed
        json.dumps({"query": f"?run={victim.run_id}&head={MARKUP}", "width": 900}),
    ]  # fmt: skip
    for place, id in enumerate(endpoint["inputs"]):
        props, kind = page.components[id]["props"], page.components[id]["type"]
        if re.search("model|source", props.get("elem_id") or ""):
            data[place] = victim.run_id
        elif "head" in (props.get("elem_id") or ""):
            data[place] = rng.choice(NAMES)
        elif kind == "json":
            data[place] = rng.choice(stores(victim))
        elif kind == "textbox" or (kind == "dropdown" and rng.random() < 0.7):
            data[place] = rng.choice(texts)
        elif kind == "html":
            data[place] = {"names": list(NAMES), "shares": [0.5, 0.5], "of": victim.run_id}
        elif kind in ("dropdown", "radio") and props.get("choices"):
            data[place] = rng.choice(props["choices"])[-1]
    return data


def markup_in(page: Raw, endpoint: dict, values: list) -> list[str]:
    """What would be shown as HTML: a value that is a text, or an update to one. (What is none is
    for a script, and scripts write texts.)"""
    found = []
    for id, value in zip(endpoint["outputs"], values, strict=True):
        if isinstance(value, dict) and value.get("__type__") == "update":
            value = value.get("value")
        is_html = page.components[id]["type"] in ("html", "markdown") and isinstance(value, str)
        if is_html and DANGER.search(value):
            found.append(f"{endpoint['api_name']}: {value[:1500]}")
    return found


def test_a_name_never_becomes_markup(victim, page):
    rng, found, seen, as_it_is = random.Random(13), [], set(), set()
    page.toasts.clear()
    showing = [
        endpoint
        for endpoint in page.endpoints.values()
        if endpoint["backend_fn"]
        and any(page.components[id]["type"] in ("html", "dropdown") for id in endpoint["outputs"])
    ]
    for endpoint in showing * ROUNDS:
        asked = {"act": MARKUP, "name": victim.run_id, "do": "keep", "vector": latent(8)}
        try:
            values = page.call(endpoint, fitting(page, victim, endpoint, rng), asked)
        except Refused as refusal:  # shown as HTML, too
            if DANGER.search(str(refusal)):
                found.append(f"{endpoint['api_name']} refuses: {refusal}")
            continue
        if "&lt;img src=x" in json.dumps(values):
            seen.add(endpoint["api_name"])
        if FORMAT in json.dumps(values):
            as_it_is.add(endpoint["api_name"])
        found += markup_in(page, endpoint, values)
    found += [told for told in page.toasts if DANGER.search(told)]
    assert not found, "\n".join(found)
    assert len(seen) > 5, seen  # the names were shown: as text
    assert len(as_it_is) > 2, as_it_is  # and nothing was filled into them


def test_names_within_an_upload_never_become_markup(page, tmp_path):
    path = tmp_path / "x.zip"
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(4):
            picture = tmp_path / f"{number}.png"
            drawn("discs", 32, rng).save(picture)
            archive.write(picture, f"{MARKUP}/{MARKUP}{number}.png")
        archive.writestr(f"{MARKUP}.png", b"broken")
        archive.writestr(f"{MARKUP}.txt", b"none")
    endpoint = page.find("pictures", "upload")
    data = page.defaults(endpoint)
    kinds = [page.components[id]["type"] for id in endpoint["inputs"]]
    [file] = page.upload(path)
    file["orig_name"] = f"{MARKUP}.zip"
    data[kinds.index("file")] = [file]
    values = page.call(endpoint, data)
    current = endpoint["outputs"][0]  # the upload's id, of which other events make what is shown
    shown = []
    for other in page.endpoints.values():
        if not other["backend_fn"] or current not in other["inputs"]:
            continue
        filled = page.defaults(other)
        filled[other["inputs"].index(current)] = values[0]
        try:
            answer = page.call(other, filled)
        except Refused as refusal:
            assert not DANGER.search(str(refusal))
            continue
        assert not markup_in(page, other, answer)
        shown.append(json.dumps(answer))
    assert any("&lt;img src=x" in each for each in shown)


def test_a_link_of_a_stranger_never_becomes_markup(page):
    for query in (f"run={MARKUP}", f"tab={MARKUP}", f"head={MARKUP}&mix={MARKUP}", f"{MARKUP}=1"):
        assert not DANGER.search(page.http.get(f"/?{query}").text)
