from math import log

from spec import SHOP, approx, changed
from spec import vector as told

from features.families import channel


def vector(table, journey=SHOP, **keys):
    return told(table, channel.features(journey), journey, **keys)


def test_channels_are_counted_and_shared_out():
    assert vector("""
        day | event    | channel
        -70 | visit    | app
        -20 | visit    | web
        -10 | purchase | web
         -5 | ticket   | store
    """) == approx(
        channels_count=3,
        channels_56d=2,
        main_channel_share=0.5,
        channel_web_share=0.5,
        channel_store_share=0.25,
        channel_app_share=0.25,
        last_channel="store",
        channel_switch_share=0.5,
    )


def test_a_channel_counts_in_the_window_by_its_newest_event():
    assert vector("""
        day     | event | channel
        -90     | visit | web
        -56     | visit | web
        -56-1us | visit | app
    """) == approx(channels_count=2, channels_56d=1)


def test_entropy_tells_how_evenly_channels_are_used():
    even = "day | event | channel\n-4 | visit | web\n-3 | visit | app\n-2 | visit | app\n-1 | visit | web"
    assert vector(even) == approx(channel_entropy=log(2))
    assert vector("day | event | channel\n-4 | visit | web\n-3 | visit | web") == approx(channel_entropy=0)


def test_unknown_channels_and_what_the_business_sent_are_left_out():
    assert vector("""
        day | event | channel
        -4  | visit | web
        -3  | visit |
        -2  | email | app
        -1  | visit | web
    """) == approx(channels_count=1, main_channel_share=1, last_channel="web", channel_switch_share=0)


def test_of_two_events_at_one_instant_the_one_that_arrived_last_is_the_last_channel():
    assert vector("day | event | channel\n-1 | visit | web\n-1 | visit | app") == approx(last_channel="app")


def test_without_a_known_channel_nothing_is_known():
    assert vector("day | event | channel\n-1 | visit |\n-1 | visit |") == approx(
        channels_count=None, channels_56d=None, last_channel=None, channel_entropy=None, channel_web_share=None
    )


def test_a_log_without_channels_has_no_such_features():
    assert channel.features(changed(channels=[])) == ()


def test_a_single_channel_has_no_share():
    assert "channel_web_share" not in vector("day | event\n-1 | visit", changed(channels=["web"]))


def test_only_the_most_frequent_channels_have_shares():
    names = vector("day | event\n-1 | visit", changed(channels=[f"shop {n}" for n in range(9)]))
    assert [name for name in names if name.startswith("channel_shop")] == [f"channel_shop_{n}_share" for n in range(6)]
