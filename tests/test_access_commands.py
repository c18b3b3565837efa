"""The commands keys, audit and erase, run in this process: they start no model."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from stores import answer_of, write
from typer.testing import CliRunner

from commands.settings import Settings, use
from features.errors import InputError
from journeycast import app
from serving.keys import Keys
from serving.store import Store

JOURNEY = "complete_journey"


@pytest.fixture
def store(url, tmp_path):
    use(Settings(tmp_path, url, "", None, None, lambda: None, 90.0, lambda counts: None))
    with closing(Store(url)) as store:
        yield store


def run(*arguments):
    done = CliRunner().invoke(app, arguments)
    if done.exception is not None:
        raise done.exception
    return done.output


def test_a_key_is_made_listed_and_ended(store):
    told = run("keys", "create", "crm [1]", "--scope", "read", "--scope", "ingest", "--expires", "90d")
    secret = told.partition("\n")[0]
    key = Keys(store).check(secret)
    assert key.scopes == ("read", "ingest")
    listed = run("keys", "list")
    assert key.id in listed
    assert "crm [1]" in listed
    assert secret not in listed
    ended = run("keys", "revoke", key.id)
    assert "is revoked; it was the last that is valid, and servers still ask for one" in ended
    assert Keys(store).check(secret) is None
    assert "revoked" in run("keys", "list")


def test_a_customer_is_erased_and_allowed_again_by_hand(store, tmp_path):
    write(store, answer_of("NA"), journey=JOURNEY)
    copies = [tmp_path / "uploads" / JOURNEY / "a.parquet", tmp_path / "parts" / "killed" / "part-0.parquet"]
    for copy in copies:
        copy.parent.mkdir(parents=True)
        copy.write_text("NA")
    receipt = json.loads(run("erase", JOURNEY, "NA"))
    assert not any(copy.exists() for copy in copies)
    assert receipt["rows"] == {"answers": 1, "scores": 1}
    assert store.answer(JOURNEY, "NA") is None
    assert "allowed in complete_journey again" in run("erase", JOURNEY, "NA", "--allow")
    with pytest.raises(InputError, match="was not kept out"):
        run("erase", JOURNEY, "NA", "--allow")
    lines = [json.loads(line) for line in run("audit", JOURNEY, "--json").splitlines()]
    assert [(line["who"], line["route"]) for line in lines[-2:]] == [
        ("command line", "erase --allow"),
        ("command line", "erase"),
    ]
    assert "command line" in run("audit", JOURNEY, "--limit", "1")
    assert "NA" not in run("audit", JOURNEY)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["keys", "create", "crm", "--scope", "write"], "read, ingest, admin"),
        (["keys", "create", "crm", "--expires", "yesterday"], "--expires"),
        (["keys", "revoke", "nobody"], "no key 'nobody'"),
        (["audit", JOURNEY, "--since", "soon"], "--since"),
        (["serve", JOURNEY, "--host", "0.0.0.0"], "there are no keys"),
    ],
)
def test_what_cannot_be_used_is_told(store, arguments, said):
    with pytest.raises(InputError, match=said):
        run(*arguments)
