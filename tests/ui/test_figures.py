"""What the page says of a run: right words, right numbers, and no text taken for HTML."""

import re

import pytest
from markup import HOSTILE, derived, jpeg, read, view

from ganlab import titles
from ganlab.config import PRESETS, TrainConfig
from ganlab.data.catalog import CATALOG
from ganlab.health import Verdict
from ganlab.runs import MOVES
from ganlab.transfer_config import RACE, TransferConfig
from ganlab.ui import figures
from ganlab.views import JobView

# No text is taken for HTML ----------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_messages_and_names_stay_text(text):
    harmless = TrainConfig(data="x", tasks=("y",))
    hostile = TrainConfig(data=text, tasks=(text,))
    for state in MOVES:
        same = read(figures.state_line(view(state, message="z", config=harmless), is_owner=True))
        page = read(figures.state_line(view(state, message=text, config=hostile), is_owner=True))
        assert page.tags == same.tags
        assert page.attributes.keys() == same.attributes.keys()
        assert page.text.count(text) >= 2  # data and task, as they are


@pytest.mark.parametrize("text", HOSTILE)
def test_edits_of_heads_and_what_they_come_from_stay_text(text):
    harmless = figures.state_line(derived("small", "an edit"), is_owner=True)
    hostile = figures.state_line(derived(text, text), is_owner=True)
    assert read(hostile).tags == read(harmless).tags
    assert read(hostile).attributes.keys() == read(harmless).attributes.keys()
    assert figures.as_sentence(text) in read(hostile).text and text in read(hostile).text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_failure_is_told_word_for_word(text):
    page = read(figures.state_line(view("failed", message=text), is_owner=False))
    assert text in page.text


@pytest.mark.parametrize("text", HOSTILE)
def test_the_names_of_tasks_stay_text_beside_their_rows(text):
    page = read(figures.grid_figure(jpeg(64, 16), 7, (text, "squares")))
    same = read(figures.grid_figure(jpeg(64, 16), 7, ("discs", "squares")))
    assert page.tags == same.tags
    assert page.attributes == same.attributes
    assert text in page.text


def test_a_sentence_has_a_capital_letter_and_a_file_its_own_name():
    assert figures.as_sentence("choose a folder") == "Choose a folder"
    for text in ("two.zip: holds no run", "my cats.zip is no zip", "x.heic holds nothing", ""):
        assert figures.as_sentence(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_notice_stays_text(text):
    page = read(figures.notice(text))
    assert page.tags == ["p"]
    assert page.text == text


# Where a run stands -----------------------------------------------------------------------------


def sentence(job: JobView, *, is_owner: bool = True) -> str:
    html = figures.state_line(job, is_owner=is_owner)
    return read(re.search(r'<span class="gl-message">.*?</span>', html)[0]).text


def test_edited_heads_say_what_was_done_last():
    assert sentence(derived("small", "head 'a' removed")) == "Head 'a' removed."
    two = derived("small", "head 'a' removed", "head 'b' is now called 'x'")
    assert sentence(two) == "Head 'b' is now called 'x'. After 1 earlier edit."
    three = derived("small", "one", "two", "three")
    assert sentence(three) == "Three. After 2 earlier edits."
    assert sentence(derived("small")).startswith("All edits are undone")


def test_edited_heads_are_called_after_what_they_come_from():
    assert figures.title(derived("avatars64")) == "Heads of avatars64"
    assert figures.title(derived("")) == "Heads of your run (Avatars · Quick look)"
    assert figures.title(view()) == titles.run_title(TrainConfig(data="avatars"))


def test_edited_heads_have_no_bar_and_no_speed():
    page = read(figures.facts(derived("small", "one", "two")))
    assert page.text == "Heads1Edits2"


def test_every_state_has_a_word_of_its_own():
    assert set(figures.STATE_WORDS) == set(MOVES)
    assert len(set(figures.STATE_WORDS.values())) == len(MOVES)


@pytest.mark.parametrize("is_owner", [True, False])
@pytest.mark.parametrize("state", MOVES)
def test_every_state_has_a_sentence(state, is_owner):
    message = "The server stopped." if state in ("failed", "interrupted") else ""
    said = sentence(view(state, message=message, has_snapshot=True, step=9), is_owner=is_owner)
    assert len(said.split()) >= 3
    assert not said[0].islower()


@pytest.mark.parametrize("state", MOVES)
def test_the_chip_says_the_state_and_pulses_only_under_way(state):
    html = figures.state_line(view(state), is_owner=True)
    assert figures.STATE_WORDS[state] in read(html).text
    assert f"gl-{state}" in html
    assert ("gl-busy" in html) == (state in ("queued", "running", "stopping"))


def test_those_who_wait_read_their_place_and_when_it_begins():
    said = sentence(view("queued", queue_place=3, seconds_to_start=125.0))
    assert said == "Place 3 in the queue. Starts in about 2 min 5 s."


def test_what_is_being_read_is_told_until_there_is_a_picture():
    assert sentence(view("running")) == "Reading the pictures"
    assert sentence(view("running", message="Downloading MNIST")) == "Downloading MNIST"
    assert sentence(view("running", grid_steps=(0,))) == ""  # the picture speaks


def test_a_stopped_run_says_what_was_saved_and_how_to_go_on():
    stopped = view("stopped", step=1234, has_snapshot=True)
    assert sentence(stopped) == "Saved at step 1,234. Resume goes on from there."
    waited = view("stopped", message="Taken out of the queue before it began.")
    assert sentence(waited) == "Taken out of the queue before it began."


def test_a_finished_run_says_how_much_it_learnt():
    finished = view("finished", step=12345, seconds=61.2, has_snapshot=True)
    assert sentence(finished).startswith("12,345 steps in 1 min 1 s.")


def test_an_interrupted_run_says_what_was_saved():
    message = "The server stopped while this run was under way."
    job = view("interrupted", message=message, step=50, has_snapshot=True)
    assert sentence(job) == f"{message} Saved up to step 50. Resume goes on from there."
    assert sentence(view("interrupted", message=message)) == message


@pytest.mark.parametrize("state", ["stopped", "finished", "interrupted"])
def test_only_the_owner_is_told_to_act(state):
    job = view(state, message="", step=50, has_snapshot=True)
    advice = re.compile("Resume|Train longer")
    assert advice.search(sentence(job, is_owner=True))
    assert not advice.search(sentence(job, is_owner=False))


THREE_LAPS = TransferConfig(strategy=RACE, racers=("scratch", "finetune", "ewc"), seconds=20)


def race(state: str, **changes) -> JobView:
    return view(state, config=THREE_LAPS, **changes)


@pytest.mark.parametrize(
    ("lap", "over", "words", "figure"),
    [
        ("", 0, "Stopped before its first lap.", "0 of 3"),
        ("scratch", 0, "Stopped in lap 1 of 3. Resume goes on from there.", "0 of 3"),
        ("scratch", 1, "Stopped after lap 1 of 3. Resume goes on from there.", "1 of 3"),
        ("", 1, "Stopped after lap 1 of 3. Resume goes on from there.", "1 of 3"),
        ("ewc", 2, "Stopped in lap 3 of 3. Resume goes on from there.", "2 of 3"),
    ],
)
def test_a_stopped_race_says_how_far_it_got(lap, over, words, figure):
    stopped = race("stopped", lap=lap, laps_over=over)
    assert sentence(stopped) == words
    assert sentence(stopped, is_owner=False) == words.removesuffix(" Resume goes on from there.")
    assert table(stopped) == {"Laps over": figure}


def test_a_race_that_something_else_has_ended_says_that_first():
    shut = race("stopped", message="The server was shut down.", lap="finetune", laps_over=1)
    assert sentence(shut) == (
        "The server was shut down. Stopped in lap 2 of 3. Resume goes on from there."
    )
    broken = race("interrupted", message="The server stopped.", lap="ewc", laps_over=2)
    assert sentence(broken) == (
        "The server stopped. It broke off in lap 3 of 3. Resume goes on from there."
    )
    assert sentence(race("interrupted", message="The server stopped.")) == "The server stopped."


def test_a_race_that_is_over_has_all_its_laps():
    over = race("finished", lap="ewc", laps_over=3, laps_measured=3)
    assert sentence(over) == "3 laps of 20 s each."
    assert table(over) == {"Laps": "3"}


def test_what_can_be_kept_is_told_where_there_is_something():
    def kept(job: JobView, *, is_owner: bool = True) -> str:
        line = figures.state_line(job, is_owner=is_owner, kept_until=0.0)
        return read(re.search(r'<span class="gl-kept">.*?</span>', line)[0]).text

    until = f"Kept until {figures.moment(0.0)}"
    assert kept(view("stopped", has_snapshot=True)) == f"{until}: download what you want to keep."
    assert kept(view("stopped")) == f"{until}."  # taken out of the queue
    measured = race("stopped", laps_over=2, laps_measured=1)
    assert kept(measured) == f"{until}: open a lap as a run to download it."
    assert kept(race("stopped", laps_over=1)) == f"{until}."  # it exploded
    for job in (view("stopped", has_snapshot=True), measured):
        assert kept(job, is_owner=False) == f"{until}."


def test_the_title_names_data_tasks_and_preset():
    config = TrainConfig.from_preset("better", data="avatars", tasks=("micah", "personas"))
    assert titles.run_title(config) == "Avatars (micah, personas) · Better"
    assert titles.run_title(TrainConfig(data="fashion")) == "Fashion · Quick look"
    assert titles.run_title(TrainConfig(data="my/folder")) == "my/folder · Quick look"
    many = TrainConfig(data="avatars", tasks=CATALOG["avatars"].tasks[:3])
    assert titles.run_title(many) == f"Avatars · {PRESETS['quick'].title}"


# Numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (0.4, "0 s"), (1, "1 s"), (59.4, "59 s"), (59.6, "1 min"), (60, "1 min"),
        (61, "1 min 1 s"), (119.9, "2 min"), (200, "3 min 20 s"), (3599.4, "59 min 59 s"),
        (3599.9, "1 h"), (3600, "1 h"), (3661, "1 h 1 min"), (7500, "2 h 5 min"), (86400, "24 h"),
        (864_000, "240 h"),
    ],
)  # fmt: skip
def test_a_duration_is_said_as_people_say_it(seconds, words):
    assert figures.duration(seconds) == words


KID = "KID, EfficientNet-Lite0"


def table(job: JobView, looks=()) -> dict[str, str]:
    html = figures.facts(job, looks)
    read(html)
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html))


def test_the_figures_of_a_run_under_way():
    job = view(
        step=12345,
        seconds=15.0,
        progress=0.25,
        images_per_second=1234.5,
        config=TrainConfig(seconds=60),
    )
    assert table(job) == {
        "Step": "12,345",
        "Trained for": "15 s",
        "Speed": "1,234 images/s",
        "Time left": "45 s",
        KID: "–",
    }
    assert 'aria-valuenow="25"' in figures.facts(job)
    assert "width:25%" in figures.facts(job)


def test_what_is_not_known_yet_is_a_dash():
    job = view(config=TrainConfig.from_preset("quick", steps=100))
    dashes = dict.fromkeys(("Speed", "Time left", KID), "–")
    assert table(job) == {"Step": "0", "Trained for": "0 s", **dashes}


def test_the_time_left_of_a_budget_in_steps_follows_from_the_speed_so_far():
    config = TrainConfig.from_preset("quick", steps=100)
    assert table(view(config=config, seconds=10.0, progress=0.25))["Time left"] == "30 s"


@pytest.mark.parametrize("state", ["stopped", "finished", "failed", "interrupted"])
def test_a_run_that_has_ended_has_no_time_left(state):
    assert table(view(state, seconds=10.0, progress=0.5))["Time left"] == "–"


def test_kid_is_told_with_its_network_and_that_of_the_best_snapshot():
    looks = [
        {"step": 900, "kid": 2.345678},
        {"step": 1200, "kid": 0.5},
        {"step": 1500, "kid": 12.34},
    ]
    assert table(view(best_step=1200), looks)[KID] == ("12.3 <small>best 0.5 at step 1,200</small>")
    assert table(view(best_step=None), looks[:1])[KID] == "2.35"


# The light --------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["green", "amber", "red"])
def test_the_light_says_in_words_what_its_colour_says(colour):
    verdict = Verdict(colour, "Some name", "Samples are 40 % as varied as the data.")
    html = figures.light(view(verdict=verdict))
    assert f'class="gl-light gl-{colour}" role="status"' in html
    text = read(html).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Some name Samples are 40 % as varied as the data." in text
    signs = {figures.LAMP_SIGNS[c] for c in ("green", "amber", "red", "grey")}
    assert len(signs) == 4  # nobody needs to tell colours apart


def test_what_is_too_early_to_praise_has_a_grey_lamp():
    html = figures.light(view(verdict=Verdict("green", "On its way", "KID rises.", is_early=True)))
    assert "gl-grey" in html and "gl-green" not in html


def test_what_is_about_to_end_or_begin_takes_a_moment():
    assert table(view(seconds=59.9, progress=0.999))["Time left"] == "a moment"
    said = sentence(view("queued", queue_place=1, seconds_to_start=0.2))
    assert said == "Place 1 in the queue. Starts in a moment."
    assert table(view("queued", queue_place=1, seconds_to_start=9.0))["Time left"] == "–"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_verdict_stays_text(text):
    html = figures.light(view(verdict=Verdict("red", text, text)))
    same = figures.light(view(verdict=Verdict("red", "a", "b")))
    assert read(html).tags == read(same).tags
    assert read(html).text.count(text) == 2


@pytest.mark.parametrize("state", MOVES)
def test_before_the_first_look_the_light_is_grey_and_off_once_the_run_has_ended(state):
    html = figures.light(view(state))
    if state in ("queued", "running", "stopping"):
        assert "gl-grey" in html
        assert "Too early to tell The first look at quality comes after 5 s" in read(html).text
    else:
        assert html == ""
