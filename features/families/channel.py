"""Channels: where the customer meets the business, and how varied that is."""

from __future__ import annotations

import narwhals as nw

from features.families.tables import places
from features.families.words import count, plain, slugs, spell
from features.feature import Feature
from features.instants import within
from features.journey import Journey, duration_text
from features.schema import CHANNEL

SHARES_AT_MOST = 6  # channels with a share of their own


def features(journey: Journey) -> tuple[Feature, ...]:
    """Number, concentration, entropy and switches; the share of each frequent channel.

    The entropy of the shares c/n over the channels is log(n) minus the mean of log(c) over events,
    so one aggregate per customer gives it. Empty where the log has no channels.
    """
    if not journey.channels:
        return ()
    where, window = places(journey), journey.windows[-1]

    def channel(name: str, description: str, unit: str, expr: nw.Expr, says: str) -> Feature:
        return Feature(name, description, unit, "CHANNEL", expr, of=where, says=says)

    size, events = nw.col("size"), nw.col("size").count()
    return (
        channel(
            "channels_count",
            "number of channels used so far",
            "number",
            count(nw.col("newest_here")),
            "{value} channels used",
        ),
        channel(
            f"channels_{duration_text(window)}",
            f"number of channels used in the last {spell(window)}",
            "number",
            count(nw.col("newest_here") & within(window)),
            f"{{value}} channels used in the last {spell(window)}",
        ),
        channel(
            "main_channel_share",
            "share of the events on the customer's main channel",
            "share",
            size.max() / events,
            "{value} of the events on one channel",
        ),
        channel(
            "channel_entropy",
            "how evenly the channels are used (0: one only; natural logarithm)",
            "number",
            (events.cast(nw.Float64).log() - size.cast(nw.Float64).log().mean()),
            "channel variety {value}",
        ),
        channel(
            "channel_switch_share",
            "share of the events on another channel than the one before",
            "share",
            nw.col("moved").mean(),
            "changes channel at {value} of the events",
        ),
        Feature(
            "last_channel",
            "channel of the newest event whose channel is known",
            "category",
            "CHANNEL",
            nw.when(nw.col("last")).then(nw.col(CHANNEL)).max(),
            of=where,
            says="last seen on {value}",
            categories=tuple(journey.channels),
        ),
        *(
            channel(
                f"channel_{slug}_share",
                f"share of the events on {plain(name)}",
                "share",
                nw.when(nw.col(CHANNEL) == name).then(nw.lit(1.0)).otherwise(nw.lit(0.0)).mean(),
                f"{{value}} of the events on {plain(name)}",
            )
            for name, slug in slugs(journey.channels[:SHARES_AT_MOST]).items()
            if len(journey.channels) > 1
        ),
    )
