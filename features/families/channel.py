"""Channels: where the customer meets the business, and how varied that is."""

from __future__ import annotations

from typing import Any

import narwhals as nw

from features.aggregates import Value, combine, count, distinct, highest, newest, only_with, ratio, share, total
from features.families.tables import places
from features.families.words import plain, slugs, spell
from features.feature import Feature
from features.instants import Window
from features.journey import Journey, duration_text
from features.numbers import only_where
from features.schema import CHANNEL

SHARES_AT_MOST = 6  # channels with a share of their own


def features(journey: Journey) -> tuple[Feature, ...]:
    """Number, concentration, entropy and switches; the share of each frequent channel.

    The entropy of the shares c/n over the channels is log(n) - sum(c log c) / n: one running sum gives
    it. Empty where the log has no channels.
    """
    if not journey.channels:
        return ()
    where, window = places(journey), journey.windows[-1]

    def channel(name: str, description: str, unit: str, value: Value, says: str) -> Feature:
        return Feature(name, description, unit, "CHANNEL", value, of=where, says=says)

    return (
        channel(
            "channels_count",
            "number of channels used so far",
            "number",
            only_with(count(), distinct(CHANNEL)),
            "{value} channels used",
        ),
        channel(
            f"channels_{duration_text(window)}",
            f"number of channels used in the last {spell(window)}",
            "number",
            only_with(count(), distinct(CHANNEL, window=Window(window))),
            f"{{value}} channels used in the last {spell(window)}",
        ),
        channel(
            "main_channel_share",
            "share of the events on the customer's main channel",
            "share",
            ratio(highest("size"), count()),
            "{value} of the events on one channel",
        ),
        channel(
            "channel_entropy",
            "how evenly the channels are used (0: one only; natural logarithm)",
            "number",
            combine(_entropy, count(), total("spread")),
            "channel variety {value}",
        ),
        channel(
            "channel_switch_share",
            "share of the events on another channel than the one before",
            "share",
            share(nw.col("moved")),
            "changes channel at {value} of the events",
        ),
        Feature(
            "last_channel",
            "channel of the newest event whose channel is known",
            "category",
            "CHANNEL",
            newest(CHANNEL),
            of=where,
            says="last seen on {value}",
            categories=tuple(journey.channels),
        ),
        *(
            channel(
                f"channel_{slug}_share",
                f"share of the events on {plain(name)}",
                "share",
                share(nw.col(CHANNEL) == name),
                f"{{value}} of the events on {plain(name)}",
            )
            for name, slug in slugs(journey.channels[:SHARES_AT_MOST]).items()
            if len(journey.channels) > 1
        ),
    )


def _entropy(events: Any, spread: Any) -> Any:
    size = only_where(events > 0, events.cast(nw.Float64))
    return size.log() - spread / size
