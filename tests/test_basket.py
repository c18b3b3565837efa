from spec import SHOP, approx
from spec import vector as told

from features.families import basket


def vector(table, journey=SHOP, **keys):
    return told(table, basket.features(journey), journey, **keys)


def test_a_number_has_a_mean_a_recent_mean_and_a_last():
    assert vector("""
        day     | event    | items
        -40     | purchase | 6
        -28-1us | purchase | 3
        -28     | purchase | 2
        -5      | purchase | 1
        -1      | visit    |
    """) == approx(items_mean=3, items_mean_28d=1.5, last_items=1)


def test_a_category_has_a_last_and_a_number_of_kinds():
    assert vector("""
        day | event    | product
        -9  | purchase | tea
        -8  | purchase | café
        -7  | purchase | tea
        -1  | visit    |
    """) == approx(last_product="tea", product_kinds=2)


def test_of_two_events_at_one_instant_the_one_that_arrived_last_is_the_last():
    assert vector("day | event | items | product\n-1 | purchase | 9 | tea\n-1 | purchase | 1 | oil") == approx(
        last_items=1, last_product="oil"
    )


def test_without_the_property_nothing_is_known():
    assert vector("day | event\n-1 | visit") == approx(
        items_mean=None, items_mean_28d=None, last_items=None, last_product=None, product_kinds=None
    )


def test_what_is_known_too_late_is_not_seen():
    table = "day | event | items | product | known_at\n-3 | visit | 5 | tea |\n-1 | visit | 1 | oil | 0"
    assert vector(table) == approx(items_mean=5, last_items=5, last_product="tea", product_kinds=1)


def test_ratings_are_not_told_here():
    assert not [name for name in vector("day | event\n-1 | visit") if "stars" in name]
