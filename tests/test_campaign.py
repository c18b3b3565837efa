from spec import SHOP, approx, changed
from spec import vector as told

from features.families import campaign


def vector(table, journey=SHOP, **keys):
    return told(table, campaign.features(journey), journey, **keys)


def test_contacts_are_counted_per_window_and_type():
    assert vector("""
        day     | event
        -56-1us | email
        -56     | flyer
        -20     | email
        -7      | email
        -1      | visit
    """) == approx(touches_7d=1, touches_28d=2, touches_56d=3, email_56d=2, flyer_56d=1, touch_recency_days=7)


def test_purchases_per_contact_are_counted_over_the_whole_history():
    assert vector("""
        day  | event
        -300 | purchase
        -200 | email
        -100 | flyer
         -10 | purchase
          -3 | purchase
    """) == approx(purchases_per_touch=1.5)


def test_a_customer_the_business_never_contacted():
    assert vector("day | event\n-3 | purchase") == approx(
        touch_recency_days=None, purchases_per_touch=None, touches_7d=0, touches_56d=0, email_56d=0
    )


def test_an_empty_past_was_not_contacted():
    assert vector("day | event\n0 | email") == approx(touch_recency_days=None, touches_7d=0, flyer_56d=0)


def test_a_contact_known_too_late_is_not_counted():
    assert vector("day | event | known_at\n-3 | email | +1") == approx(touches_7d=0, touch_recency_days=None)


def test_a_business_that_causes_no_event_has_no_such_features():
    assert campaign.features(changed(business=[], coupons=[])) == ()


def test_one_kind_of_contact_is_not_counted_twice():
    assert "email_56d" not in vector("day | event\n-1 | visit", changed(business=["email"]))


def test_a_purchase_within_a_week_is_a_response():
    assert vector("""
        day      | event
        -90      | email
        -60      | flyer
        -53-1us  | purchase
        -30      | email
        -23      | purchase
        -20      | email
        -18      | purchase
        -6       | email
    """) == approx(touch_response_share=0.5, touch_response_share_56d=2 / 3)


def test_how_soon_a_response_comes_is_the_journeys():
    table = "day | event\n-30 | email\n-20 | purchase"
    slow = changed(response_within="14d")
    assert [vector(table, journey)["touch_response_share"] for journey in (SHOP, slow)] == [0, 1]


def test_no_contact_has_a_share_of_responses_before_its_time_is_over():
    assert vector("day | event\n-6 | email\n-5 | purchase") == approx(touch_response_share=None)


def test_coupons_are_told_per_purchase():
    assert vector("""
        day | event
        -90 | purchase
        -80 | coupon
        -9  | purchase
        -8  | coupon
        -7  | coupon
        -6  | purchase
        -5  | purchase
    """) == approx(coupons_per_purchase=0.75, coupons_per_purchase_56d=2 / 3)
    assert vector("day | event\n-8 | coupon") == approx(coupons_per_purchase=None)
