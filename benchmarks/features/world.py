"""What the rivals know of the journey `simulated`, written down by hand as a data scientist would."""

from __future__ import annotations

DAY = 86_400_000_000  # microseconds
HOUR = DAY // 24
MINUTE = HOUR // 60
YEAR = 365 * DAY
SUN = 31_556_952_000_000  # microseconds of 365.2425 days
THURSDAY = 3  # 1970-01-01, counting from Monday
SESSION_GAP = 30 * MINUTE
CART_WITHIN = DAY
RESPONSE_WITHIN = 7 * DAY
WINDOWS = (7, 28, 56, 112)  # days
OWN = ("visit", "cart", "purchase", "rating", "nps", "review", "referral")
FRICTION = ("ticket", "payment_failed", "refund", "complaint")
TOUCHES = ("ad_seen", "email_sent")
TYPES = (*OWN, *FRICTION, *TOUCHES)
CHANNELS = ("web", "app", "email", "store", "phone")
STAGES = ("awareness", "consideration", "conversion", "retention", "advocacy", "lapsed")
RETAINED, ADVOCATE, LAPSED = 90 * DAY, 180 * DAY, 60 * DAY
GROUPS = ("detractor", "passive", "promoter")
