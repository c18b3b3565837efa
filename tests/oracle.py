"""Every feature again, by plain loops over one customer's events: written from the words, not from the expressions.

`vector` takes events as dicts with the columns of the canonical log (missing: null) and gives the
dict that `features.engine.build` must give.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

from features.families.channel import SHARES_AT_MOST
from features.families.sequence import LAST
from features.families.words import TYPES_AT_MOST, slugs
from features.journey import Journey, Rule, duration_text
from features.schema import DAY, MINUTE

Event = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def vector(
    events: list[Event], cutoff: int, journey: Journey, profile: dict[str, Any] | None = None
) -> dict[str, float | str | None]:
    """The values of all features of the journey at one cutoff; `profile` is the customer's row, if any."""
    past = [e for e in events if e["time"] < cutoff and e["known_at"] < cutoff]
    past = sorted(past, key=lambda e: e["position"])
    return {
        **recency(past, cutoff, journey),
        **activity(past, cutoff, journey),
        **spend(past, cutoff, journey),
        **cadence(past, cutoff, journey),
        **stage(past, cutoff, journey),
        **channel(past, cutoff, journey),
        **campaign(past, cutoff, journey),
        **friction(past, cutoff, journey),
        **feedback(past, cutoff, journey),
        **basket(past, cutoff, journey),
        **sequence(past, cutoff, journey),
        **session(past, cutoff, journey),
        **habit(past, journey),
        **calendar(past, cutoff, journey),
        **lifetime(past, journey),
        **columns(cutoff, journey, profile),
    }


# Words ---------------------------------------------------------------------------------------------


def us(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def named(journey: Journey, kind: str) -> dict[str, str]:
    """Slug of each event type of a kind that has features of its own."""
    everyone = slugs(journey.types)
    kinds = {
        "own": lambda name: name not in journey.business and name not in journey.friction,
        "business": lambda name: name in journey.business and name not in journey.friction,
        "friction": lambda name: name in journey.friction,
    }
    return {name: everyone[name] for name in journey.types[:TYPES_AT_MOST] if kinds[kind](name)}


def second(journey: Journey) -> timedelta:
    return journey.windows[1] if len(journey.windows) > 1 else journey.windows[0]


def of_type(past: list[Event], *types: str) -> list[Event]:
    return [e for e in past if e["event"] in types]


def own(past: list[Event], journey: Journey) -> list[Event]:
    return [e for e in past if e["event"] not in journey.business]


def inside(past: list[Event], cutoff: int, window: timedelta, ended: timedelta = timedelta(0)) -> list[Event]:
    start, end = cutoff - us(window) - us(ended), cutoff - us(ended)
    return [e for e in past if start <= e["time"] < end]


def since_last(past: list[Event], cutoff: int) -> float | None:
    return (cutoff - max(e["time"] for e in past)) / DAY if past else None


def since_first(past: list[Event], cutoff: int) -> float | None:
    return (cutoff - min(e["time"] for e in past)) / DAY if past else None


def values(past: list[Event], column: str) -> list[Any]:
    return [e[column] for e in past if e.get(column) is not None]


def mean(numbers: list[float]) -> float | None:
    return math.fsum(numbers) / len(numbers) if numbers else None


def median(numbers: list[float]) -> float | None:
    return statistics.median(numbers) if numbers else None


def deviation(numbers: list[float]) -> float | None:
    return statistics.stdev(numbers) if len(numbers) > 1 else None


def over(top: float | None, bottom: float | None) -> float | None:
    return None if top is None or not bottom else top / bottom


# Families ------------------------------------------------------------------------------------------


def recency(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    bought = of_type(past, journey.conversion_event)
    found = {
        "recency_days": since_last(own(past, journey), cutoff),
        "tenure_days": since_first(past, cutoff),
        "purchase_tenure_days": since_first(bought, cutoff),
        "first_conversion_days": (bought[0]["time"] - past[0]["time"]) / DAY if bought else None,
    }
    for name, slug in named(journey, "own").items():
        found[f"{slug}_recency_days"] = since_last(of_type(past, name), cutoff)
    return found


def activity(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, slug in named(journey, "own").items():
        events, window = of_type(past, name), second(journey)
        for length in journey.windows:
            found[f"{slug}_{duration_text(length)}"] = len(inside(events, cutoff, length))
        now, before = len(inside(events, cutoff, window)), len(inside(events, cutoff, window, window))
        found[f"{slug}_trend_{duration_text(window)}"] = over(now, now + before)
    for length in journey.windows:
        days = {moment(e).date() for e in inside(own(past, journey), cutoff, length)}
        found[f"active_days_{duration_text(length)}"] = len(days)
    return found


def spend(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    orders, window = of_type(past, journey.conversion_event), second(journey)
    amounts, found = values(orders, "value"), dict[str, Any]()
    for length in journey.windows:
        recent = values(inside(orders, cutoff, length), "value")
        found[f"spend_{duration_text(length)}"] = sum(recent)
        found[f"order_value_{duration_text(length)}"] = mean(recent)
    known_for = since_first(orders, cutoff)
    both = sum(values(inside(orders, cutoff, 2 * window), "value"))
    all_money = values(past, "value")
    return {
        **found,
        "order_value_median": median(amounts),
        "order_value_max": max(amounts, default=None),
        "order_value_std": deviation(amounts),
        "last_order_value": orders[-1].get("value") if orders else None,
        "spend_per_day": 0.0 if known_for is None else sum(amounts) / max(known_for, 1),
        f"spend_trend_{duration_text(window)}": over(sum(values(inside(orders, cutoff, window), "value")), both),
        "refunds_count": len([v for v in all_money if v < 0]),
        "refunds_share": over(-sum(v for v in all_money if v < 0), sum(v for v in all_money if v >= 0)),
    }


def cadence(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    orders, events = of_type(past, journey.conversion_event), own(past, journey)
    days = sorted({moment(e).date() for e in orders})
    gaps = [float((later - earlier).days) for earlier, later in pairwise(days)]
    active = sorted({moment(e).date() for e in events})
    between = [float((later - earlier).days) for earlier, later in pairwise(active)]
    since, known_for = since_last(orders, cutoff), since_first(orders, cutoff)
    return {
        "purchase_gap_days_mean": mean(gaps),
        "purchase_gap_days_median": median(gaps),
        "purchase_gap_days_std": deviation(gaps),
        "purchase_gap_days_max": max(gaps, default=None),
        "purchase_gap_days_last": gaps[-1] if gaps else None,
        "purchase_regularity": over(deviation(gaps), mean(gaps)),
        "purchase_overdue": over(since, median(gaps)),
        "purchase_past_longest": over(since, max(gaps, default=None)),
        "purchase_days": None if known_for is None else 28 * len(days) / max(known_for, 28),
        "active_gap_days_median": median(between),
    }


def stage(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    if not journey.stages:
        return {}
    visited = stage_visits(past, cutoff, journey)
    names = journey.stage_names
    order = [names.index(name) for name, _ in visited]
    moves = [later < earlier for earlier, later in pairwise(order)]
    last = journey.windows[-1]
    recent = [since for _, since in visited[1:] if cutoff - us(last) <= since]
    return {
        "stage": visited[-1][0] if visited else None,
        "previous_stage": visited[-2][0] if len(visited) > 1 else None,
        "stage_days": (cutoff - visited[-1][1]) / DAY if visited else None,
        "stages_seen": len(set(order)),
        f"stage_changes_{duration_text(last)}": len(recent),
        "stage_moves_back": mean([float(back) for back in moves]),
    }


def stage_visits(past: list[Event], cutoff: int, journey: Journey) -> list[tuple[str, int]]:
    """Each stage the customer was in, oldest first, with the instant after which it held."""
    if journey.stages == "by_event":
        instants = {e["time"] for e in past if e["event"] in journey.types}
    else:
        instants = {e["time"] for e in past}
        for window in {w for rule in journey.stages.values() for w in windows(rule)}:
            instants |= {e["time"] + window for e in past if e["time"] + window < cutoff}
    found: list[tuple[str, int]] = []
    for instant in sorted(instants):
        name = stage_at(past, instant + 1, journey)
        if name is not None and (not found or found[-1][0] != name):
            found.append((name, instant))
    return found


def stage_at(past: list[Event], instant: int, journey: Journey) -> str | None:
    """The stage at an instant by the rules themselves; null before the first event."""
    before = [e for e in past if e["time"] < instant]
    if journey.stages == "by_event":
        steps = [e["event"] for e in before if e["event"] in journey.types]
        return steps[-1] if steps else None
    if not before:
        return None
    holding = [name for name, rule in journey.stages.items() if holds(rule, before, instant)]
    return holding[-1] if holding else journey.stage_names[0]


def holds(rule: Rule, past: list[Event], instant: int) -> bool:
    """Whether a rule holds at an instant: counts of events in `[instant - within, instant)`."""
    if rule.all_of is not None:
        return all(holds(inner, past, instant) for inner in rule.all_of)
    types = rule.any_of or rule.none_of
    if types is None:
        return True
    found = [e for e in past if e["event"] in types and e["time"] < instant]
    if rule.within:
        found = [e for e in found if e["time"] >= instant - us(rule.within)]
    return len(found) >= rule.at_least if rule.any_of else len(found) < rule.at_least


def windows(rule: Rule) -> set[int]:
    inner = set().union(*(windows(r) for r in rule.all_of or []))
    return inner | ({us(rule.within)} if rule.within else set())


def channel(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    if not journey.channels:
        return {}
    events = [e for e in own(past, journey) if e.get("channel") is not None]
    places = [e["channel"] for e in events]
    counts, last, size = Counter(places), journey.windows[-1], len(places)
    recent = {e["channel"] for e in inside(events, cutoff, last)}
    switches = sum(a != b for a, b in pairwise(places))
    found = {
        "channels_count": len(counts) if places else None,
        f"channels_{duration_text(last)}": len(recent) if places else None,
        "main_channel_share": max(counts.values()) / size if places else None,
        "channel_entropy": -math.fsum(n / size * math.log(n / size) for n in counts.values()) if places else None,
        "channel_switch_share": switches / size if places else None,
        "last_channel": places[-1] if places else None,
    }
    if len(journey.channels) > 1:
        for name, slug in slugs(journey.channels[:SHARES_AT_MOST]).items():
            found[f"channel_{slug}_share"] = counts[name] / size if places else None
    return found


def campaign(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    return touched(past, cutoff, journey) | coupons(past, cutoff, journey)


def coupons(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    if not journey.coupons:
        return {}
    last, found = journey.windows[-1], dict[str, Any]()
    for text, events in (("", past), (f"_{duration_text(last)}", inside(past, cutoff, last))):
        used, bought = of_type(events, *journey.coupons), of_type(events, journey.conversion_event)
        found[f"coupons_per_purchase{text}"] = over(len(used), len(bought))
    return found


def led_to(past: list[Event], cutoff: int, starts: list[str], end: str, within: timedelta) -> list[tuple[int, bool]]:
    """Per starting event whose time is up: when it was, and whether an ending one had come after it by then."""
    found = []
    for place, event in enumerate(past):
        up = event["time"] + us(within)
        if event["event"] in starts and up < cutoff:
            found.append((up, any(e["event"] == end and e["time"] < up for e in past[place + 1 :])))
    return found


def touched(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    if not journey.business:
        return {}
    touches = of_type(past, *journey.business)
    within, newest = journey.response_within, journey.windows[-1]
    answers = led_to(past, cutoff, journey.business, journey.conversion_event, within)
    recent = [answered for up, answered in answers if up >= cutoff - us(newest)]
    found = {
        "touch_recency_days": since_last(touches, cutoff),
        "purchases_per_touch": over(len(of_type(past, journey.conversion_event)), len(touches)),
        "touch_response_share": mean([float(answered) for _, answered in answers]),
        f"touch_response_share_{duration_text(newest)}": mean([float(answered) for answered in recent]),
    }
    for window in journey.windows:
        found[f"touches_{duration_text(window)}"] = len(inside(touches, cutoff, window))
    for name, slug in named(journey, "business").items() if len(journey.business) > 1 else ():
        last = journey.windows[-1]
        found[f"{slug}_{duration_text(last)}"] = len(inside(of_type(past, name), cutoff, last))
    return found


def friction(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    return troubled(past, cutoff, journey) | left_behind(past, cutoff, journey)


def left_behind(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    if journey.abandoned is None:
        return {}
    rule = journey.abandoned
    all_up = led_to(past, cutoff, [rule.started], rule.finished, rule.within)
    left = [up for up, finished in all_up if not finished]
    found: dict[str, Any] = {
        "abandoned_share": over(len(left), len(all_up)),
        "abandoned_recency_days": (cutoff - max(left)) / DAY if left else None,
    }
    for window in journey.windows:
        found[f"abandoned_{duration_text(window)}"] = len([up for up in left if up >= cutoff - us(window)])
    return found


def troubled(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    if not journey.friction:
        return {}
    troubles, last = of_type(past, *journey.friction), journey.windows[-1]
    found = {
        "friction_recency_days": since_last(troubles, cutoff),
        "friction_per_purchase": over(len(troubles), len(of_type(past, journey.conversion_event))),
    }
    for window in journey.windows:
        found[f"friction_{duration_text(window)}"] = len(inside(troubles, cutoff, window))
    for name, slug in named(journey, "friction").items():
        found[f"{slug}_{duration_text(last)}"] = len(inside(of_type(past, name), cutoff, last))
        found[f"{slug}_recency_days"] = since_last(of_type(past, name), cutoff)
    return found


def feedback(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, slug in slugs(list(journey.properties)).items():
        if journey.properties[name] in ("rating", "nps"):
            answered = [e for e in past if e.get(name) is not None]
            answers = values(answered, name)
            found[f"{slug}_mean"] = mean(answers)
            found[f"{slug}_last"] = answers[-1] if answers else None
            found[f"{slug}_min"] = min(answers, default=None)
            found[f"{slug}_answer_recency_days"] = since_last(answered, cutoff)
            if journey.properties[name] == "nps":
                groups = ["promoter" if a >= 9 else "passive" if a >= 7 else "detractor" for a in answers]
                found[f"{slug}_group"] = groups[-1] if groups else None
    return found


def basket(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, slug in slugs(list(journey.properties)).items():
        told, window = values(past, name), second(journey)
        if journey.properties[name] == "number":
            found[f"{slug}_mean"] = mean(told)
            found[f"{slug}_mean_{duration_text(window)}"] = mean(values(inside(past, cutoff, window), name))
            found[f"last_{slug}"] = told[-1] if told else None
        elif journey.properties[name] == "category":
            found[f"last_{slug}"] = told[-1] if told else None
            found[f"{slug}_kinds"] = len(set(told)) if told else None
    return found


def sequence(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    events, found = own(past, journey)[::-1], dict[str, Any]()
    several = len(journey.customer_types) > 1
    for back in range(LAST):
        gap = (events[back]["time"] - events[back + 1]["time"]) / DAY if len(events) > back + 1 else None
        found[f"step_{back + 1}_gap_days"] = gap
        if several:
            found[f"step_{back + 1}_back"] = events[back]["event"] if len(events) > back else None
    if several:
        run = 0
        while run < len(events) and events[run]["event"] == events[0]["event"]:
            run += 1
        found["run_length"] = run
    known_for = since_first(past, cutoff)
    for name, slug in {**named(journey, "own"), **named(journey, "friction")}.items():
        if name not in journey.business:
            rate = None if known_for is None else 28 * len(of_type(past, name)) / max(known_for, 28)
            found[f"{slug}_per_28d"] = rate
    return found


def session(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    if journey.session_gap is None:
        return {}
    visits: list[list[Event]] = []
    for event in own(past, journey):
        if visits and event["time"] - visits[-1][-1]["time"] <= us(journey.session_gap):
            visits[-1].append(event)
        else:
            visits.append([event])
    window, begun = second(journey), [visit[0] for visit in visits]
    lasted = [(visit[-1]["time"] - visit[0]["time"]) / MINUTE for visit in visits]
    start = cutoff - us(window)
    spent = [b["time"] - a["time"] for visit in visits for a, b in pairwise(visit) if b["time"] >= start]
    sizes, bought = [len(visit) for visit in visits], [of_type(visit, journey.conversion_event) for visit in visits]
    now, before = len(inside(begun, cutoff, window)), len(inside(begun, cutoff, window, window))
    between = [(b["time"] - a["time"]) / DAY for a, b in pairwise(begun)]
    found = {
        f"sessions_trend_{duration_text(window)}": over(now, now + before),
        "session_recency_days": since_last(begun, cutoff),
        "session_gap_days_mean": mean(between),
        "session_minutes_mean": mean(lasted),
        "session_minutes_last": lasted[-1] if visits else None,
        "session_minutes_max": max(lasted, default=None),
        f"session_minutes_{duration_text(window)}": sum(spent) / MINUTE,
        "session_events_mean": mean([float(size) for size in sizes]),
        "session_events_last": sizes[-1] if visits else 0,
        "session_events_max": max(sizes, default=0),
        "session_bounce_share": mean([float(size == 1) for size in sizes]),
        "session_purchase_share": mean([float(bool(some)) for some in bought]),
    }
    for length in journey.windows:
        found[f"sessions_{duration_text(length)}"] = len(inside(begun, cutoff, length))
    return found


def calendar(past: list[Event], cutoff: int, journey: Journey) -> dict[str, Any]:
    orders, year = of_type(past, journey.conversion_event), timedelta(days=365)
    window = min(second(journey), year)
    text, known_for = duration_text(window), cutoff - orders[0]["time"] if orders else None
    ahead = inside(orders, cutoff, window, year - window)
    now, then = inside(orders, cutoff, window), inside(orders, cutoff, window, year)
    lately = inside(orders, cutoff, year)
    same = [e for e in lately if quarter(e["time"]) == quarter(cutoff)]

    def known(length: timedelta, value: float | None) -> float | None:
        return value if known_for is not None and known_for >= us(length) else None

    return {
        f"purchases_year_ago_{text}": known(year, len(ahead)),
        f"spend_year_ago_{text}": known(year, sum(values(ahead, "value"))),
        f"purchases_year_over_year_{text}": known(year + window, over(len(now), len(then))),
        "anniversary_days": known(year, None if known_for is None else 365 - known_for / DAY % 365),
        "quarter_purchase_share": known(year, over(len(same), len(lately))),
    }


def quarter(instant: int) -> int:
    """The quarter of a year of 365.2425 days, the first of them from 1970-01-01 on."""
    return math.floor(Fraction(4 * instant, 31_556_952_000_000)) % 4


def lifetime(past: list[Event], journey: Journey) -> dict[str, Any]:
    orders = of_type(past, journey.conversion_event)
    days = {moment(e).date() for e in orders}
    return {
        "repeat_purchase_days": len(days) - 1 if orders else None,
        "repeat_span_days": (orders[-1]["time"] - orders[0]["time"]) / DAY if orders else None,
    }


def habit(past: list[Event], journey: Journey) -> dict[str, Any]:
    moments = [moment(e) for e in own(past, journey)]

    def share(hits: list[bool]) -> float | None:
        return sum(hits) / len(hits) if hits else None

    return {
        "weekend_share": share([m.weekday() >= 5 for m in moments]),
        "evening_share": share([m.hour >= 18 for m in moments]),
        "morning_share": share([6 <= m.hour < 12 for m in moments]),
        "last_weekday": moments[-1].weekday() if moments else None,
    }


def columns(cutoff: int, journey: Journey, profile: dict[str, Any] | None) -> dict[str, Any]:
    declared = journey.profile.features if journey.profile else {}
    found = {}
    for name, slug in slugs(list(declared)).items():
        known = None if declared[name].known_at is None or profile is None else profile.get(declared[name].known_at)
        told = profile is not None and (declared[name].static or (known is not None and known < cutoff))
        found[f"profile_{slug}"] = profile.get(name) if told and profile is not None else None
    return found


def moment(event: Event) -> datetime:
    return EPOCH + timedelta(microseconds=event["time"])
