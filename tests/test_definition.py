from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definition import read, shipped
from features.errors import InputError

GOOD = """\
journey: shop
events:
  - file: events.csv
    columns: {value: amount}
stages:
  first: {}
  retention: {any_of: [purchase], at_least: 2, within: 28d}
tasks:
  churn: {no: purchase, within: 28d}
"""


@pytest.fixture
def refused(tmp_path: Path):
    def message(text: str | bytes) -> str:
        path = tmp_path / "shop.yml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(InputError, match=r"shop\.yml") as caught:
            read(path)
        return str(caught.value)

    return message


def test_a_journey_is_read_with_the_folder_its_paths_start_at(tmp_path):
    (tmp_path / "shop.yml").write_text(GOOD)
    journey, base = read(str(tmp_path / "shop.yml"))
    assert base == tmp_path
    assert journey.tasks.churn.no == "purchase"
    assert journey.tasks.churn.within == timedelta(days=28)
    assert journey.stages["retention"].at_least == 2


def test_a_shipped_journey_is_read_by_name():
    journey, base = read("complete_journey")
    assert journey.journey == "complete_journey"
    assert base.name == "journeys"
    assert journey.observed_until == datetime(2018, 1, 1, 5, tzinfo=UTC)


def test_the_words_no_on_and_yes_stay_text(tmp_path):
    (tmp_path / "shop.yml").write_text(GOOD + "channels: [on, yes, no]\nbusiness: [off]\n")
    journey, _ = read(tmp_path / "shop.yml")
    assert journey.channels == ["on", "yes", "no"]


def test_names_may_hold_any_letters(tmp_path):
    (tmp_path / "shop.yml").write_text(GOOD + 'friction: ["Rückgabe [neu]: a,b", 退货]\n', encoding="utf-8")
    assert read(tmp_path / "shop.yml")[0].friction == ["Rückgabe [neu]: a,b", "退货"]


def test_merge_keys_and_anchors_work(tmp_path):
    text = GOOD.replace("first: {}", "first: &rule {any_of: [visit], within: 7d}\n  second: {<<: *rule, at_least: 3}")
    (tmp_path / "shop.yml").write_text(text)
    second = read(tmp_path / "shop.yml")[0].stages["second"]
    assert (second.any_of, second.at_least, second.within) == (["visit"], 3, timedelta(days=7))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("within: 28d}\ntasks", "wthin: 28d}\ntasks"), ["line 7, stages.retention.wthin", "did you mean 'within'?"]),
        (("churn:", "churm:"), ["line 9, tasks.churm", "did you mean 'churn'?", "churn, next_stage, cltv"]),
        (("no: purchase, within: 28d", "no: purchase, within: 28"), ["line 9, tasks.churn.within", "such as 28d"]),
        (("within: 28d}\ntasks", "within: 9999999999d}\ntasks"), ["line 7", "longer than any log"]),
        (("any_of: [purchase]", "any_of: purchase"), ["line 7, stages.retention.any_of", "'purchase' is not a list"]),
        (("at_least: 2", "at_least: 0"), ["stages.retention.at_least", "greater than or equal to 1"]),
        (("no: purchase", "no: 3"), ["tasks.churn.no", "3 is not text", "put it in quotes"]),
        (("no: purchase, ", ""), ["line 9, tasks.churn", "give one of: no"]),
        (("{value: amount}", "{value: amount, value: sum}"), ["line 4, events.0.columns.value", "two columns"]),
        (("{value: amount}", "{value: amount, channel: amount}"), ["line 3", "mapped to both 'value' and 'channel'"]),
        (("{value: amount}", "{valeu: amount}"), ["line 4, events.0.columns.valeu", "did you mean 'value'?"]),
        (("file: events.csv", "query: select 1"), ["line 3, events.0", "give exactly one of: file"]),
        (("journey: shop", "journey: a/b"), ["line 1, journey", "'a/b' is refused"]),
        (("journey: shop\n", ""), ["journey: is missing", "add journey"]),
        (("journey: shop", "journey: shop\njourney: two"), ["line 2, journey", "given twice", "line 1"]),
        (("journey: shop", "journey: shop\nobserved_until: 2018"), ["line 2, observed_until", "not an instant"]),
        (("journey: shop", "journey: shop\nobserved_until: 2018-13-01"), ["line 2, observed_until", "month"]),
        (("journey: shop", "journey: shop\ntimezone: Mars"), ["line 2, timezone", "Europe/Madrid"]),
        (("journey: shop", "journey: shop\ncampaign: {contact_cost: .inf}"), ["campaign.contact_cost", "finite"]),
        (("journey: shop", "journey: shop\nstages: by_evnt"), ["line 6, stages", "given twice"]),
    ],
)
def test_a_mistake_is_told_with_line_key_and_way_out(refused, change, told):
    message = refused(GOOD.replace(*change))
    assert [part for part in told if part not in message] == []


def test_several_mistakes_are_told_at_once(refused):
    message = refused(GOOD.replace("within: 28d}\n", "within: soon}\n").replace("amount", "3"))
    assert "3 problems" in message
    assert "line 4, events.0.columns.value: 3 is not text" in message
    assert "line 7, stages.retention.within: 'soon' is not a duration" in message
    assert "line 9, tasks.churn.within: 'soon' is not a duration" in message


def test_stages_by_another_word_are_told(refused):
    text = GOOD.replace("stages:\n  first: {}\n", "stages: by_evnt\n").replace(
        "  retention: {any_of: [purchase], at_least: 2, within: 28d}\n", ""
    )
    assert "accepted: 'by_event'" in refused(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n- b\n", "is not a mapping"),
        ("just text", "is not a mapping"),
        (GOOD + "windows: [7d\n", "line 11: is not YAML"),
        (GOOD + "a: &a [*a]\n", "nested too deeply"),
        ("a: " + "[" * 5000, "nested too deeply"),
        (GOOD + "friction: !!python/object/apply:os.getcwd []\n", "is not YAML"),
        (GOOD + "? [a]\n: 1\n", "a key must be text"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (GOOD.encode() + b"\x00", "is not YAML"),
        (b"#" * 1_000_001, "larger than 1 MB"),
    ],
)
def test_a_file_that_is_no_journey_is_refused(refused, text, told):
    assert told in refused(text)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("complete_jorney", "did you mean 'complete_journey'?"),
        ("nowhere/shop.yml", "nowhere/shop.yml: no such file"),
        (".", "is a folder"),
        ("", "is a folder"),
    ],
)
def test_a_journey_that_is_not_there_names_the_shipped_ones(given, told):
    with pytest.raises(InputError, match="complete_journey") as caught:
        read(given)
    assert told in str(caught.value)


def test_every_shipped_journey_can_be_read():
    assert "complete_journey" in shipped()
    assert [read(name)[0].journey for name in shipped()] == shipped()


@given(st.text(max_size=60))
def test_no_text_makes_anything_but_an_input_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yml"
    path.write_text(GOOD + text, encoding="utf-8", errors="replace")
    try:
        journey, _ = read(path)
    except InputError:
        return
    assert journey.journey == "shop"
