"""Database addresses are shown without their secrets."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url

from features.addresses import masked, shown
from features.journey import Source

ADDRESSES = [
    "postgresql://u:hunter2@h/db",
    "postgresql://h/db?user=u&password=hunter2",
    "postgresql://u:hunter2@h:bad/db?password=hunter2",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_password_is_never_shown_wherever_the_address_carries_it(address: str) -> None:
    assert "hunter2" not in shown(address)
    assert "hunter2" not in Source(database=address, query="select 1").model_dump_json()


@pytest.mark.parametrize("address", ADDRESSES[:2])
def test_a_drivers_message_is_shown_without_the_password(address: str) -> None:
    assert masked("wrong password: hunter2", make_url(address)) == "wrong password: ***"
