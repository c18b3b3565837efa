"""The worklist: how far a team is with a customer, and what becomes of a contact."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from stores import answer_of, ids, write

from features.errors import InputError, SuppressedError, UnknownCustomerError
from features.schema import DAY, to_text
from serving import list_changes, worklist
from serving.clock import now
from serving.events import add, contact, stored
from serving.filters import Filters, Wanted
from serving.suppression import Moment

NOW = now()
MOMENT = Moment(NOW, 28.0)


@pytest.fixture
def listed(store):
    write(store, answer_of("a"), answer_of("b"))
    return store


def change(store, customer_id="a", at=NOW, **said):
    return worklist.change(store, "shop", customer_id, said, Moment(at, 28.0))


def contacts(store) -> list[tuple]:
    found = stored(store, "shop")
    return found.select("customer_id", "time", "event", "channel", "known_at").rows()


def test_who_was_never_worked_on_is_open(listed):
    found = worklist.entry(listed, "shop", "a", MOMENT)
    assert (found.status, found.assignee, found.suppressed, found.changed_at) == ("open", None, None, None)


def test_what_is_not_named_stays(listed):
    change(listed, status="assigned", assignee="Ann", note="call after 5")
    found = change(listed, note=None)
    assert (found.status, found.assignee, found.note) == ("assigned", "Ann", None)
    assert worklist.entry(listed, "shop", "a", MOMENT) == found
    assert worklist.entry(listed, "shop", "b", MOMENT).status == "open"


def test_a_snooze_ends_by_itself(listed):
    found = change(listed, snoozed_until=NOW + DAY)
    assert (found.status, found.snoozed_until) == ("snoozed", to_text(NOW + DAY))
    assert ids(listed.at_risk("shop")) == ["b"]
    later = Moment(NOW + 2 * DAY, 28.0)
    assert worklist.entry(listed, "shop", "a", later).status == "open"
    assert worklist.change(listed, "shop", "a", {"note": "awake"}, later).snoozed_until is None


def test_a_contact_told_late_is_known_from_the_present_on(listed):
    """The newest run, at its cutoff of ten days, did not see it."""
    change(listed, status="contacted", contacted_at=8 * DAY)
    change(listed, "b", status="contacted", contacted_at=12 * DAY)
    assert [(time, known_at) for _, time, _, _, known_at in contacts(listed)] == [
        (8 * DAY, 10 * DAY),
        (12 * DAY, 12 * DAY),
    ]


def test_another_status_ends_a_snooze(listed):
    change(listed, snoozed_until=NOW + DAY)
    found = change(listed, status="won")
    assert (found.status, found.snoozed_until) == ("won", None)


def test_a_contact_is_an_event_of_the_business(listed):
    found = change(listed, status="contacted", channel="phone")
    assert (found.contacted_at, found.suppressed) == (to_text(NOW), "contacted")
    assert contacts(listed) == [("a", NOW, "contacted", "phone", NOW)]
    assert ids(listed.at_risk("shop")) == ["b"]


def test_a_contact_said_twice_is_one(listed):
    for _ in range(2):
        change(listed, status="contacted", contacted_at=NOW - DAY)
    change(listed, status="contacted", at=NOW + DAY)
    assert [time for _, time, *_ in contacts(listed)] == [NOW - DAY]


def test_a_second_contact_is_a_second_event(listed):
    change(listed, status="contacted", contacted_at=NOW - DAY)
    change(listed, status="open")
    found = change(listed, status="contacted")
    change(listed, status="contacted", contacted_at=NOW - 5 * DAY)
    assert [time for _, time, *_ in contacts(listed)] == [NOW - DAY, NOW, NOW - 5 * DAY]
    assert found.contacted_at == to_text(NOW)
    assert worklist.entry(listed, "shop", "a", MOMENT).contacted_at == to_text(NOW)


def test_a_contact_after_the_rest_is_a_new_one(listed):
    change(listed, status="contacted", contacted_at=NOW - 29 * DAY)
    assert ids(listed.at_risk("shop")) == ["a", "b"]
    found = change(listed, status="contacted", channel="phone")
    assert (found.contacted_at, found.suppressed) == (to_text(NOW), "contacted")
    assert [time for _, time, *_ in contacts(listed)] == [NOW - 29 * DAY, NOW]
    assert ids(listed.at_risk("shop")) == ["b"]


def test_a_contact_of_someone_who_opted_out_is_told_on_purpose_only(listed):
    change(listed, opted_out=True)
    with pytest.raises(SuppressedError, match="a opted out"):
        change(listed, status="contacted")
    with pytest.raises(SuppressedError, match="b opted out"):
        change(listed, "b", status="contacted", opted_out=True)
    assert contacts(listed) == []
    assert change(listed, status="contacted", override=True).contacted_at == to_text(NOW)
    assert len(contacts(listed)) == 1


def test_an_opt_out_lasts_until_it_is_taken_back(listed):
    assert change(listed, opted_out=True).suppressed == "opted_out"
    assert change(listed, status="won").suppressed == "opted_out"
    assert ids(listed.at_risk("shop")) == ["b"]
    assert change(listed, opted_out=False).suppressed is None


def test_an_opt_out_is_taken_of_anyone(listed):
    assert change(listed, "not scored yet", opted_out=True).opted_out
    assert change(listed, "not scored yet", note="wrote a letter").note == "wrote a letter"


def test_nothing_else_is_taken_of_someone_unknown(listed):
    for name in ("nobody", "a\x00"):
        with pytest.raises(UnknownCustomerError, match="one of the 2 customers scored in run 1"):
            change(listed, name, status="won")
        with pytest.raises(UnknownCustomerError, match="one of the 2 customers"):
            worklist.entry(listed, "shop", name, MOMENT)
    with pytest.raises(UnknownCustomerError, match="one of the 2"):
        change(listed, "\x00", opted_out=True)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"status": "snoozed"}, "a snooze needs an end"),
        ({"snoozed_until": NOW - 1}, "a snooze needs an end"),
        ({"status": "won", "snoozed_until": NOW + DAY}, "goes with the status snoozed"),
        ({"status": "assigned"}, "nobody is assigned"),
        ({"channel": "phone"}, "channel: details of a contact"),
        ({"status": "won", "override": True}, "override: details of a contact"),
        ({"status": "won", "contacted_at": NOW}, "contacted_at: details of a contact"),
        ({"status": "contacted", "contacted_at": NOW + DAY}, "lies in the future"),
    ],
)
def test_what_is_half_said_is_refused_and_changes_nothing(listed, said, told):
    with pytest.raises(InputError, match=told):
        change(listed, **said)
    assert worklist.entry(listed, "shop", "a", MOMENT).changed_at is None


@pytest.mark.parametrize("customer_id", ["a/b", "'; DROP TABLE worklist; --", "näme 😀", " ", "x" * 1000])
def test_ids_may_hold_any_character(store, customer_id):
    write(store, answer_of(customer_id))
    change(store, customer_id, status="contacted")
    assert [name for name, *_ in contacts(store)] == [customer_id]
    (line,) = store.at_risk("shop", Wanted(Filters(include=frozenset({"suppressed"})))).items
    assert (line.customer_id, line.status) == (customer_id, "contacted")


# the events of the store


def test_events_come_back_in_canonical_form_with_their_properties(store):
    base = contact("shop", "a", 5, "web", 9)
    rows = [
        base | {"event_id": "1", "event": "purchase", "value": 2.5, "properties": {"items": 3, "product": "tea"}},
        base | {"event_id": "2", "properties": {"rating": 4.5}, "known_at": 7},
        base | {"event_id": "1", "journey": "other"},
    ]
    with store.transaction(writes=True) as connection:
        assert add(connection, rows).new == {"1", "2"}
        assert add(connection, rows[:1]).new == set()
        assert add(connection, []).new == set()
    assert stored(store, "shop").rows(named=True) == [
        {"customer_id": "a", "time": 5, "event": "purchase", "value": 2.5, "channel": "web", "known_at": 5}
        | {"event_id": "1", "items": 3, "product": "tea", "rating": None},
        {"customer_id": "a", "time": 5, "event": "contacted", "value": None, "channel": "web", "known_at": 7}
        | {"event_id": "2", "items": None, "product": None, "rating": 4.5},
    ]


def test_a_store_without_events_has_the_columns(store):
    found = stored(store, "shop")
    assert found.height == 0
    assert found.columns == ["customer_id", "time", "event", "value", "channel", "known_at", "event_id"]


def test_many_events_are_read_in_parts(store, monkeypatch):
    monkeypatch.setattr("serving.events._AT_ONCE", 7)
    with store.transaction(writes=True) as connection:
        add(connection, [contact("shop", f"c{n}", n, None, 0) for n in range(50)])
    assert stored(store, "shop")["time"].to_list() == list(range(50))


# many at once


def test_of_several_changes_of_a_customer_none_is_made_where_one_is_refused(listed):
    change(listed, "a", opted_out=True)
    said = [{"status": "assigned", "assignee": "Ann"}, {"status": "contacted"}]
    assert list_changes.of_customers(listed, "shop", ["a", "b", "c"], said, MOMENT) == (1, 1, 1)
    found = [worklist.entry(listed, "shop", name, MOMENT) for name in "ab"]
    assert [(one.status, one.assignee) for one in found] == [("open", None), ("contacted", "Ann")]


def test_contacts_told_of_the_same_customers_at_once_do_not_wait_for_each_other(store):
    names = [f"c{number:02}" for number in range(40)]
    write(store, *(answer_of(name) for name in names))

    def tell(number: int) -> int:
        order = names if number % 2 else names[::-1]
        if number % 3 == 0:
            return [change(store, name, NOW - number, status="contacted") for name in order[:10]] and 40
        return list_changes.of_customers(store, "shop", order, [{"status": "contacted"}], MOMENT).changed

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(tell, range(12))) == [40] * 12
