"""A visitor mixes heads by hand, and takes home what comes of it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from e2e.conftest import PHONE, Server, Visitors
from e2e.test_viewers import expect_another, turn_to
from e2e.visitor import turn
from scripts.measure_blend import MOVE

SLIDE = """(slider, value) => {
  slider.value = value;
  slider.dispatchEvent(new Event("input", {bubbles: true}));
}"""
HAS_ROOM = """(selector) => {  // the progress of what a block waits for, which lies above it
  const block = document.querySelector(selector);
  const room = block.getBoundingClientRect();
  const bar = block.querySelector("[role=progressbar]")?.getBoundingClientRect();
  return bar && bar.height > 0 && room.top <= bar.top && bar.bottom <= room.bottom;
}"""
HOLDS_NAMES = """svg => {  // none beyond its edge, none over another or over a face
  const room = svg.getBoundingClientRect();
  const boxes = [...svg.querySelectorAll("text, rect")].map(e => e.getBoundingClientRect());
  const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom
    && b.top < a.bottom;
  return boxes.every((a, i) => a.left >= room.left && a.right <= room.right && a.top >= room.top
    && a.bottom <= room.bottom && !boxes.slice(i + 1).some(b => overlap(a, b)));
}"""

pytestmark = pytest.mark.browser


def shares(page: Page, mixer: str = "#mixer") -> list[int]:
    return [int(text.split()[0]) for text in page.locator(f"{mixer} output").all_inner_texts()]


def drag(page: Page, x: float, y: float) -> None:
    """The pad's point to a place, in hundredths of the pad; once its faces are there, with which it
    is drawn anew."""
    expect(page.locator("#mixer .gl-corner image")).to_have_count(len(shares(page)))
    box = page.locator("#mixer svg").bounding_box()
    point = page.locator("#mixer .gl-point").bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + x / 100 * box["width"], box["y"] + y / 100 * box["height"], steps=4)
    page.mouse.up()


def button(page: Page, name: str, mixer: str = "#mixer") -> Locator:
    return page.locator(mixer).get_by_role("button", name=name)


@pytest.mark.alone
def test_pad_and_sliders_say_the_same_and_the_pictures_follow(
    page: Page, measured: Callable[..., None]
):
    picture = turn_to(page, "Blend")
    expect(page.locator("#empty")).to_be_hidden()
    expect(picture).to_have_attribute("alt", "A blend: avataaars 50 %, micah 50 %")
    assert shares(page) == [50, 50, 0, 0, 0]
    times = sorted(page.evaluate(MOVE, 20 + 60 * (i % 2)) for i in range(7))
    measured("A slider of Blend to 36 new pictures", times[3] / 1000)

    expect_another(picture, lambda: drag(page, 50, 12))  # to the first corner, and beyond
    expect(picture).to_have_attribute("alt", "A blend: avataaars 100 %")
    expect_another(picture, lambda: page.locator("#mixer input").nth(4).press("End"))
    expect(picture).to_have_attribute("alt", "A blend: pixel-art 100 %")
    expect_another(picture, lambda: drag(page, 50, 50))
    assert abs(sum(shares(page)) - 100) < 4 and min(shares(page)) > 10
    before = shares(page)
    expect_another(picture, button(page, "Random mix").click)
    assert shares(page) != before
    expect_another(picture, button(page, "Undo").click)
    assert shares(page) == before
    button(page, "Even mix").click()
    assert shares(page) == [20] * 5


def test_what_is_locked_keeps_its_share(page: Page):
    turn_to(page, "Blend")
    button(page, "Lock micah").click()
    for act in (
        lambda: drag(page, 30, 70),
        lambda: drag(page, 50, 10),
        lambda: page.locator("#mixer input").nth(0).press("End"),
        button(page, "Even mix").click,
        button(page, "Random mix").click,
    ):
        act()
        assert shares(page)[1] == 50 and abs(sum(shares(page)) - 100) < 4
    expect(page.locator("#mixer input").nth(1)).to_be_disabled()
    button(page, "Lock micah").click()
    drag(page, 50, 10)
    assert shares(page) == [100, 0, 0, 0, 0]


def test_texture_follows_a_mix_of_its_own_and_a_mode_chosen_in_a_drag_does_not_undo_it(page: Page):
    picture = turn_to(page, "Blend")
    page.locator("#mixer input").nth(1).press("End")
    page.get_by_label("Texture apart from structure").check()
    expect(page.locator("#texture-mixer svg")).to_be_visible()
    expect(page.locator("#texture-mixer output").nth(1)).to_have_text(re.compile("^100 "))
    assert shares(page, "#texture-mixer") == shares(page) == [0, 100, 0, 0, 0]  # as before
    expect_another(picture, lambda: page.locator("#mixer input").nth(0).evaluate(SLIDE, 50))
    expect_another(picture, lambda: page.locator("#texture-mixer input").nth(2).press("End"))
    structure = "structure avataaars 50 %, micah 50 %; texture open-peeps 100 %"
    expect(picture).to_have_attribute("alt", f"A blend: {structure}")
    expect_another(picture, page.get_by_role("radio", name="Pixels").check)
    expect(page.locator("#blend-how")).to_contain_text("cross-faded")
    expect(page.locator("#texture-mixer")).to_be_hidden()
    expect(picture).to_have_attribute("alt", "A blend: avataaars 50 %, micah 50 %")

    page.get_by_role("radio", name="Parameters").check()
    expect(picture).to_have_attribute("alt", f"A blend: {structure}")
    page.get_by_label("Texture apart from structure").uncheck()
    page.get_by_label("Texture apart from structure").check()
    expect(page.locator("#texture-mixer output").nth(2)).to_have_text(re.compile("^100 "))
    assert shares(page, "#texture-mixer") == [0, 0, 100, 0, 0]
    page.get_by_label("Texture apart from structure").uncheck()
    expect(picture).to_have_attribute("alt", "A blend: avataaars 50 %, micah 50 %")

    page.get_by_role("radio", name="Pixels").check(force=True)
    for share in (80, 60, 30):  # while the event of the mode is on its way
        page.locator("#mixer input").nth(0).evaluate(SLIDE, share)
    expect(picture).to_have_attribute("alt", "A blend: avataaars 30 %, micah 70 %")
    expect(page).to_have_url(re.compile("mode=pixels"))
    expect(picture).to_have_attribute("alt", "A blend: avataaars 30 %, micah 70 %")
    expect(page).to_have_url(re.compile("avataaars%3D0.3000"))


def test_moves_that_the_short_way_cannot_follow_are_events(page: Page):
    picture = turn_to(page, "Blend")
    expect_another(picture, lambda: page.locator("#mixer input").nth(4).press("End"))
    expect(picture).to_have_attribute("alt", "A blend: pixel-art 100 %")
    page.wait_for_url(re.compile("pixel-art"))
    refused = []

    def refuse(route: Route) -> None:
        refused.append(route.request.url)
        route.fulfill(body="null", content_type="application/json")

    page.route("**/component_server/**", refuse)
    expect_another(picture, button(page, "Undo").click)  # back to what the last event showed
    expect(picture).to_have_attribute("alt", "A blend: avataaars 50 %, micah 50 %")
    assert refused


def test_a_drag_asks_for_pictures_alone_and_takes_a_mistake_back(page: Page):
    turn_to(page, "Blend")
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    drag(page, 30, 70)
    page.wait_for_timeout(1000)
    assert any("component_server" in url for url in sent)
    # The page's clock asks now and then, too: as often as in a second without a drag.
    assert sum("/run/" in url or "queue/join" in url for url in sent) <= 3
    seed = page.locator("#blend-seed input")
    seed.fill("-7")
    seed.blur()
    expect(page.locator("#blend-note")).to_contain_text("The seed is a whole number from 0")
    expect(page.locator("#blend-note")).to_be_in_viewport()
    seed.fill("5")
    drag(page, 50, 50)
    expect(page.locator("#blend-note")).to_have_text("")
    expect(page).to_have_url(re.compile("seed=5"))


def test_while_a_training_is_short_the_first_rows_follow_and_the_others_when_the_hand_rests(
    page: Page,
):
    picture, moves = turn_to(page, "Blend"), []

    def answer(route: Route) -> None:
        """As a server does that is short."""
        if "follow" not in route.request.post_data:
            return route.fallback()
        moves.append('"moves":true' in route.request.post_data)
        answered = route.fetch()
        text = answered.text()
        if moves[-1]:
            text = text.replace("data-columns=", 'data-first=\\"9\\" data-columns=')
        route.fulfill(response=answered, body=text)

    page.route("**/component_server/**", answer)
    page.evaluate(
        """() => new MutationObserver(() => document.querySelector("#blend-picture .gl-first-rows")
          && (window.seen = true)).observe(document.querySelector("#blend-picture"),
          {childList: true, subtree: true})"""
    )
    before = picture.bounding_box()
    expect_another(picture, lambda: drag(page, 30, 70))
    slider = page.locator("#mixer input[type=range]").first
    for value in range(10, 90, 4):
        slider.evaluate(SLIDE, value)
        page.wait_for_timeout(40)
    page.wait_for_function("window.seen")
    expect(page.locator("#blend-picture .gl-first-rows")).to_have_count(0)
    expect(page).to_have_url(re.compile("avataaars%3D0.86"))
    expect(picture).to_have_attribute("alt", re.compile("avataaars 86 %"))
    assert moves[0] is True and moves[-1] is False
    assert picture.bounding_box() == before


def test_a_link_shows_the_same_view_to_somebody_else(page: Page, visit: Visitors):
    picture = turn_to(page, "Blend")
    expect_another(picture, lambda: drag(page, 40, 60))
    expect_another(picture, page.locator("#blend-after").click)
    expect_another(picture, page.get_by_role("radio", name="Features").check)
    page.wait_for_url(re.compile("mode=features"))
    other = visit()
    other.goto(page.url)
    same = other.locator("#blend-picture img")
    same.wait_for(timeout=60_000)
    expect(same).to_have_attribute("alt", picture.get_attribute("alt"))
    assert same.get_attribute("src") == picture.get_attribute("src")
    expect(other.get_by_role("radio", name="Features")).to_be_checked()
    page.reload()
    expect(picture).to_have_attribute("alt", same.get_attribute("alt"), timeout=60_000)


def test_a_click_shows_the_family_and_sections_give_strips_films_and_files(page: Page):
    picture = turn_to(page, "Blend")
    picture.click(position={"x": 10, "y": 10})
    family = page.locator("#family img")
    family.wait_for(timeout=60_000)
    assert family.evaluate("image => image.naturalWidth") == 5 * 64
    with page.expect_download() as download:
        page.locator("#family a").click()
    assert download.value.suggested_filename == "ganlab-family-1.png"

    page.get_by_role("button", name="A strip from one to another").click()
    strip = page.locator("#strip img")
    strip.wait_for(timeout=60_000)
    page.locator("#strip-to input").click()
    expect_another(strip, page.get_by_role("option", name="personas").click)
    for name in ("fashion32", "avatars64"):  # of another generator it is drawn anew
        page.get_by_role("combobox", name="Generator").click()
        expect_another(strip, page.get_by_role("option", name=re.compile(name)).click)

    page.get_by_role("button", name="A film through the heads").click()
    page.locator("#film-seconds input[type=number]").fill("2")
    page.get_by_role("radio", name="One picture").check()
    page.locator("#make-film").click()
    page.wait_for_function(HAS_ROOM, arg="#film")
    video = page.locator("#film video")
    video.wait_for(timeout=60_000)
    page.wait_for_function("() => document.querySelector('#film video').duration > 1.9")

    for name in ("#take-grid", "#take-matrix"):
        with page.expect_download() as download:
            page.locator(name).click()
        assert download.value.suggested_filename.endswith("-seed1.png")
    for tab in ("Browse", "Blend"):
        page.get_by_role("tab", name=tab).click()
        page.locator("#take-grid").wait_for(state="visible" if tab == "Blend" else "hidden")
    expect(page.locator("#blend-file")).to_be_hidden()  # its buttons press it


def test_ten_heads_fit_too_and_a_seed_that_is_none_is_refused_in_words(page: Page):
    picture = turn_to(page, "Blend")
    seed = page.locator("#blend-seed input")
    seed.fill("-7")
    seed.blur()
    expect(page.locator("#blend-note")).to_contain_text("The seed is a whole number from 0")
    expect_another(picture, lambda: (seed.fill("5"), seed.blur()))
    expect(page.locator("#blend-note")).to_have_text("")

    page.get_by_role("combobox", name="Generator").click()
    expect_another(picture, page.get_by_role("option", name=re.compile("fashion32")).click)
    expect(page.locator("#mixer li")).to_have_count(10)
    names = page.locator("#mixer .gl-corner text")
    assert names.all_text_contents() == page.locator("#mixer li span").all_text_contents()
    assert page.locator("#mixer svg").evaluate(HOLDS_NAMES)
    expect_another(picture, lambda: drag(page, 50, 50))
    assert sum(shares(page)) in range(96, 105)


def test_on_a_phone_the_picture_stays_in_view_above_the_pad(visit: Visitors):
    page = visit(**PHONE)
    picture = turn_to(page, "Blend")
    expect(page.locator("#mixer .gl-corner image")).to_have_count(5)
    page.evaluate(  # until nothing is left between the two
        """() => {
          const of = (selector) => document.querySelector(selector).getBoundingClientRect();
          scrollBy(0, of("#mixer svg").top - of("#blend-stage").height);
        }"""
    )
    assert page.evaluate("scrollY") > picture.bounding_box()["y"]  # it would have left else
    for scheme in ("light", "dark"):
        turn(page, scheme)
        box, pad = picture.bounding_box(), page.locator("#mixer svg").bounding_box()
        assert box["y"] >= 0 and pad["y"] >= box["y"] + box["height"]
        assert pad["y"] + pad["height"] <= 844
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_mix_is_kept_as_a_head_renamed_and_brought_back(page: Page):
    turn_to(page, "Blend")
    page.get_by_role("button", name="Keep this mix as a new head").click()
    page.get_by_label("Name of the new head").fill("half <b>")
    page.locator("#save-head").click()
    rows = page.locator("#mixer li")
    expect(rows).to_have_count(6, timeout=60_000)
    alt = page.locator("#blend-picture img")
    expect(alt).to_have_attribute("alt", "A blend: half <b> 100 %")
    expect(page.locator("#edits")).to_contain_text("avataaars 50 %, micah 50 %")
    page.get_by_label("Its new name").fill("middle")
    page.locator("#rename-head").click()
    expect(rows.last).to_contain_text("middle", timeout=60_000)
    expect(alt).to_have_attribute("alt", "A blend: middle 100 %")
    page.locator("#mixer input").nth(1).press("End")
    expect(alt).to_have_attribute("alt", "A blend: micah 100 %")
    page.locator("#remove-head").click()
    expect(rows).to_have_count(5, timeout=60_000)
    expect(alt).to_have_attribute("alt", "A blend: micah 100 %")
    page.locator("#undo-edit").click()
    expect(rows).to_have_count(6, timeout=60_000)
    expect(alt).to_have_attribute("alt", "A blend: micah 100 %")

    mine = re.compile("Heads of avatars64")
    expect(page.get_by_role("combobox", name="Generator")).to_have_value(mine)
    turn_to(page, "Browse")
    page.get_by_role("combobox", name="Generator").click()
    page.get_by_role("option", name=mine).click()
    expect(page.locator("#browse-picture .gl-labels")).to_contain_text("middle", timeout=60_000)
    page.get_by_role("tab", name="Transfer").click()
    page.get_by_role("combobox", name="A generator that can already draw").click()
    page.get_by_role("option", name=mine).wait_for()


def test_another_program_draws_blends_by_the_named_endpoint(server: Server, tmp_path: Path):
    client = Client(
        server.url, analytics_enabled=False, verbose=False, download_files=str(tmp_path)
    )
    told = client.view_api(return_format="dict")["named_endpoints"]
    assert list(told) == ["/blend"] and told["/blend"]["description"]
    names = [each["parameter_name"] for each in told["/blend"]["parameters"]]
    assert names == ["checkpoint", "weights", "structure", "texture", "mode", "seed", "n"]
    png = client.predict("avatars64", "avataaars=1,micah=1", seed=3, n=9, api_name="/blend")
    with Image.open(png) as image:
        assert image.size == (3 * 64, 3 * 64)
    with pytest.raises(AppError, match="'nobody=1' does not name a part"):
        client.predict(weights="nobody=1", api_name="/blend")
