"""Campaigns: what the business sent, whether the customer answered, and coupons."""

from __future__ import annotations

import narwhals as nw

from features.aggregates import Value, count, ratio, share, since
from features.families.tables import followed
from features.families.words import is_type, plain, spell, type_slugs
from features.feature import Feature
from features.instants import Window
from features.journey import Journey, duration_text


def features(journey: Journey) -> tuple[Feature, ...]:
    """Touches per window and type, days since, how many had a response; coupons per purchase.

    A touch is never a sign that the customer is active.
    """
    touches = (*_touches(journey), *_responses(journey)) if journey.business else ()
    return (*touches, *(_coupons(journey) if journey.coupons else ()))


def _touches(journey: Journey) -> tuple[Feature, ...]:
    touch = is_type(*journey.business)
    found = [
        Feature(
            "touch_recency_days",
            "days since the business last contacted the customer",
            "days",
            "CAMPAIGN",
            since(touch),
            says="{value} since the last contact by the business",
        ),
        Feature(
            "purchases_per_touch",
            "purchases per contact by the business, over the whole history",
            "ratio",
            "CAMPAIGN",
            ratio(count(is_type(journey.conversion_event)), count(touch)),
            says="{value} purchases per contact",
        ),
    ]
    found += [
        Feature(
            f"touches_{duration_text(window)}",
            f"contacts by the business in the last {spell(window)}",
            "count",
            "CAMPAIGN",
            count(touch, Window(window)),
            empty=0.0,
            says=f"{{value}} contacts by the business in the last {spell(window)}",
        )
        for window in journey.windows
    ]
    for name, slug in type_slugs(journey).items():
        if name in journey.business and name not in journey.friction and len(journey.business) > 1:
            found.append(_per_type(name, slug, journey))
    return tuple(found)


def _per_type(name: str, slug: str, journey: Journey) -> Feature:
    window = journey.windows[-1]
    return Feature(
        f"{slug}_{duration_text(window)}",
        f"number of {plain(name)} contacts in the last {spell(window)}",
        "count",
        "CAMPAIGN",
        count(is_type(name), Window(window)),
        empty=0.0,
        says=f"{plain(name)}: {{value}} in the last {spell(window)}",
    )


def _responses(journey: Journey) -> tuple[Feature, ...]:
    """Whether a contact had a response is known once `response_within` is over, and told from then on."""
    within, window = journey.response_within, journey.windows[-1]
    table = followed("responses", journey.business, [journey.conversion_event], within)

    def response(name: str, value: Value, when: str) -> Feature:
        says = f"a purchase followed {{value}} of the contacts by the business within {spell(within)}{when}"
        description = f"share of the contacts by the business that a purchase followed within {spell(within)}{when}"
        return Feature(name, description, "share", "CAMPAIGN", value, of=table, says=says)

    recent = ratio(count(nw.col("followed"), Window(window)), count(window=Window(window)))
    return (
        response("touch_response_share", share(nw.col("followed")), ""),
        response(f"touch_response_share_{duration_text(window)}", recent, f", in the last {spell(window)}"),
    )


def _coupons(journey: Journey) -> tuple[Feature, ...]:
    used, bought, window = is_type(*journey.coupons), is_type(journey.conversion_event), journey.windows[-1]

    def coupons(name: str, among: Window | None, when: str) -> Feature:
        return Feature(
            name,
            f"coupons redeemed per purchase{when}",
            "ratio",
            "CAMPAIGN",
            ratio(count(used, among), count(bought, among)),
            says=f"{{value}} coupons per purchase{when}",
        )

    return (
        coupons("coupons_per_purchase", None, ""),
        coupons(f"coupons_per_purchase_{duration_text(window)}", Window(window), f" in the last {spell(window)}"),
    )
