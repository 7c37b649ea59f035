"""Many pages that follow a run: they share what a training can spare for them."""

from ganlab.ui.attention import LEAST, MOST, TOGETHER


def test_they_are_told_to_ask_less_often_and_one_without_a_run_more_rarely_still(server, visitor):
    (timer,) = [
        number
        for number, each in visitor.components.items()
        if each["type"] == "timer" and each["props"]["value"] == LEAST
    ]
    run_id = visitor.start()
    told = [visitor.tick(run_id)[timer].get("value", LEAST) for _ in range(int(40 * TOGETHER))]
    assert told[0] == LEAST < max(told) <= MOST
    assert visitor.tick("")[timer]["value"] == MOST
