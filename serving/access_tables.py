"""The tables of who may do what, who did it, and who was erased; they stand beside those of `serving.tables`."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, LargeBinary, Named, Table, TypedColumns

from serving.tables import COUNTER, ID, metadata


class _Keys(TypedColumns):
    id: Named[str] = Column(primary_key=True)
    name: Named[str]
    scopes = Column(JSON, nullable=False)  # of serving.keys.SCOPES
    digest = Column(LargeBinary, nullable=False)  # SHA-256 of the secret, which is stored nowhere
    created_at = Column(BigInteger, nullable=False)  # microseconds, as all instants here
    expires_at = Column(BigInteger)  # null: never
    revoked_at = Column(BigInteger)  # null: not revoked


class _Audit(TypedColumns):
    id = Column(COUNTER, primary_key=True)
    at = Column(BigInteger, nullable=False)
    who: Named[str]  # a key's id, or serving.audit.LOOPBACK or COMMAND_LINE
    method: Named[str]
    route: Named[str]  # the template: /v1/customers/{customer_id}
    journey: Named[str]
    customer_id = Column(ID)  # null: not one customer, or one who was erased
    status: Named[int]


class _Replies(TypedColumns):
    journey: Named[str] = Column(primary_key=True)
    owner: Named[str] = Column(primary_key=True)  # the key's id: two clients may choose one idempotency key
    key = Column(ID, primary_key=True)
    digest = Column(LargeBinary, nullable=False)  # of the body, keyed by the store's secret
    outcomes: Named[str]  # a letter for each event (serving.intake): no ids, no customers
    at = Column(BigInteger, nullable=False)


class _Erasures(TypedColumns):
    id: Named[str] = Column(primary_key=True)
    journey: Named[str]
    hash = Column(LargeBinary, nullable=False)  # HMAC-SHA-256 of the customer's id by the store's secret
    at = Column(BigInteger, nullable=False)
    counts = Column(JSON, nullable=False)  # table -> rows that went
    allowed_at = Column(BigInteger)  # null: the customer is kept out


class _SignedOut(TypedColumns):
    digest = Column(LargeBinary, primary_key=True)  # SHA-256 of a session's cookie
    until = Column(BigInteger, nullable=False)  # when the session would have ended


class _Secrets(TypedColumns):
    name: Named[str] = Column(primary_key=True)
    value = Column(LargeBinary, nullable=False)


keys = Table("keys", metadata, _Keys)
audit = Table("audit", metadata, _Audit, sqlite_autoincrement=True)
replies = Table("replies", metadata, _Replies)
erasures = Table("erasures", metadata, _Erasures)
secrets = Table("secrets", metadata, _Secrets)
signed_out = Table("signed_out", metadata, _SignedOut)

audit_by_age = Index("audit_by_age", audit.c.at)
audit_of_journey = Index("audit_of_journey", audit.c.journey, audit.c.id)
Index("audit_of_customer", audit.c.journey, audit.c.customer_id)
Index("replies_by_age", replies.c.at)
Index("erasures_of_journey", erasures.c.journey, erasures.c.hash)
