"""Messages to webhooks: what they say, and how they are signed (Standard Webhooks)."""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from uuid import uuid4

import orjson
from standardwebhooks import Webhook as Signer

from features.schema import to_text

Type: TypeAlias = Literal["customer.risk_changed", "run.completed"]
RISK_CHANGED: Type = "customer.risk_changed"
RUN_COMPLETED: Type = "run.completed"
TEST = "test"
_SECRET_BYTES = 32


def new_secret() -> str:
    """A secret to sign with, as Standard Webhooks writes it."""
    return "whsec_" + b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def new_id() -> str:
    """The id of a message; the same at every attempt to deliver it."""
    return f"msg_{uuid4().hex}"


def body(type: str, at: int, data: Mapping[str, Any]) -> str:
    """A message as JSON text; `at` (microseconds) is when what it tells of happened."""
    return orjson.dumps({"type": type, "timestamp": to_text(at), "data": data}).decode()


def headers(secret: str, message_id: str, text: str, at: datetime | None = None) -> dict[str, str]:
    """The headers by which the receiver checks who sent a body, and when (default: now)."""
    stamp = (at or datetime.now(UTC)).astimezone(UTC)
    return {
        "Content-Type": "application/json",
        "User-Agent": "journeycast",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(stamp.timestamp())),
        "webhook-signature": Signer(secret).sign(message_id, stamp, text),
    }
