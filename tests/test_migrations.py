"""Stores of earlier versions are brought to this one, whole."""

from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from stores import answer_of, execute, ids, write

import serving
from serving.database import connect, transaction
from serving.filters import Filters, Wanted
from serving.migrations import upgrade
from serving.store import Store
from serving.tables import SCHEMA, metadata

# The tables as the spine made them, SQLite's words and PostgreSQL's.
FIRST = """
CREATE TABLE runs (id {counter}, cutoff BIGINT NOT NULL, scored_at BIGINT NOT NULL, versions JSON NOT NULL,
 journey VARCHAR NOT NULL, currency VARCHAR, customers INTEGER NOT NULL{runs_key});
CREATE INDEX runs_of_journey ON runs (journey, id);
CREATE TABLE schema_version (version_num VARCHAR NOT NULL);
CREATE TABLE answers (run_id INTEGER NOT NULL, customer_id TEXT{sorted} NOT NULL, answer {bytes} NOT NULL,
 PRIMARY KEY (run_id, customer_id), FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE);
CREATE TABLE scores (run_id INTEGER NOT NULL, stage VARCHAR, churn_eligible BOOLEAN NOT NULL,
 churn_probability {float}, churn_percentile INTEGER, risk VARCHAR, cltv_expected {float}, at_stake {float},
 expected_loss {float}, reason_code VARCHAR, reason VARCHAR, rank_value {float}, customer_id TEXT{sorted} NOT NULL,
 PRIMARY KEY (run_id, customer_id), FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE){without};
CREATE INDEX scores_ranked ON scores (run_id, rank_value DESC, churn_probability DESC, customer_id);
INSERT INTO schema_version VALUES ('0001');
INSERT INTO runs (cutoff, scored_at, versions, journey, currency, customers)
 VALUES (0, 5, '{{"churn": 1}}', 'shop', 'EUR', 2);
INSERT INTO scores (run_id, customer_id, churn_eligible, churn_probability, risk, at_stake, expected_loss, rank_value)
 VALUES (1, 'a', {true}, 0.5, 'high', 20.0, 10.0, 10.0), (1, 'b', {true}, 0.1, 'low', 500.0, 50.0, 50.0);
"""
SQLITE = {
    "counter": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
    "runs_key": "",
    "sorted": "",
    "bytes": "BLOB",
    "float": "DOUBLE",
    "without": " WITHOUT ROWID",
    "true": "1",
}
POSTGRESQL = {
    "counter": "SERIAL NOT NULL",
    "runs_key": ", PRIMARY KEY (id)",
    "sorted": ' COLLATE "C"',
    "bytes": "BYTEA",
    "float": "DOUBLE PRECISION",
    "without": "",
    "true": "true",
}


def make_first(url: str) -> None:
    for statement in FIRST.format(**(SQLITE if url.startswith("sqlite") else POSTGRESQL)).split(";"):
        if statement.strip():
            execute(url, text(statement.replace(":", r"\:")))


def described(url: str) -> dict:
    """Tables, columns, keys, indexes and what else SQLite was told of a database, in words that can be compared."""
    engine = create_engine(url)
    found = inspect(engine)
    tables = {
        name: {
            "columns": {c["name"]: (str(c["type"]), c["nullable"]) for c in found.get_columns(name)},
            "key": found.get_pk_constraint(name)["constrained_columns"],
            "indexes": sorted(
                (i["name"], *map(str, i["column_names"]), bool(i["unique"]), *map(str, i["dialect_options"].values()))
                for i in found.get_indexes(name)
            ),
            "of others": sorted((*f["constrained_columns"], f["referred_table"]) for f in found.get_foreign_keys(name)),
            "unique": sorted(tuple(u["column_names"]) for u in found.get_unique_constraints(name)),
            "options": found.get_table_options(name),
        }
        for name in found.get_table_names()
        if not name.startswith("sqlite_")
    }
    engine.dispose()
    if url.startswith("sqlite"):
        for name, statement in execute(url, text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")):
            if name in tables:
                tables[name]["counts"] = "AUTOINCREMENT" in statement
    return tables


def make(url: str, version: str) -> None:
    """A store of an earlier version, with what the first one held."""
    make_first(url)
    engine = connect(url)
    with transaction(engine, writes=True) as connection:
        assert upgrade(connection, "0001", version) == version
    engine.dispose()


def made_here(database: str, item, _name, _kind, _reflected, _other) -> bool:
    """Whether a part of the tables is made in this database at all."""
    only = getattr(item, "_ddl_if", None)
    return only is None or only.dialect == database


def differences(url: str) -> list:
    """What Alembic would still have to do."""
    engine = create_engine(url)
    with engine.connect() as connection:
        opts = {"version_table": "schema_version", "include_object": partial(made_here, engine.name)}
        context = MigrationContext.configure(connection, opts=opts)
        found = compare_metadata(context, metadata)
    engine.dispose()
    return found


@pytest.fixture
def new(url, tmp_path) -> dict:
    """A store made by this version, described; the database is empty again."""
    fresh = f"sqlite:///{tmp_path}/fresh.db" if url.startswith("sqlite") else url
    with closing(Store(fresh)) as store:
        store.latest_run("shop")
    found = described(fresh)
    for table in found if fresh == url else ():
        execute(url, text(f"DROP TABLE {table} CASCADE"))
    return found


REVISIONS = [one.revision for one in ScriptDirectory(str(Path(serving.__file__).parent)).walk_revisions()][::-1]


def test_the_newest_revision_makes_the_version_that_this_code_knows():
    assert REVISIONS[-1] == SCHEMA == f"{len(REVISIONS):04}"


@pytest.mark.parametrize("version", REVISIONS[:-1])
def test_a_store_of_an_earlier_version_becomes_the_same_as_a_new_one(url, new, version):
    make(url, version)
    with closing(Store(url)) as store:
        assert ids(store.at_risk("shop")) == ["b", "a"]
    assert described(url) == new
    assert differences(url) == []


def test_the_first_revision_makes_what_stores_of_the_first_version_were(url):
    make_first(url)
    first = described(url)
    for table in first:
        execute(url, text(f"DROP TABLE {table}" + ("" if url.startswith("sqlite") else " CASCADE")))
    engine = connect(url)
    with transaction(engine, writes=True) as connection:
        assert upgrade(connection, None, "0001") == "0001"
    engine.dispose()
    assert described(url) == first


def test_what_a_store_of_the_first_version_held_is_still_there(url):
    make_first(url)
    with closing(Store(url)) as store:
        assert ids(store.at_risk("shop")) == ["b", "a"]
        assert ids(store.at_risk("shop", Wanted(Filters(), "profit"))) == ["b", "a"]
        write(store, answer_of("a", risk="low"), answer_of("b", risk="low"))
        changed = store.at_risk("shop", Wanted(Filters(changed_since="previous"))).items
    assert [(line.customer_id, line.risk_before) for line in changed] == [("a", "high")]


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(url, monkeypatch):
    make_first(url)

    def fail(connection, version):
        connection.execute(text("ALTER TABLE runs ADD COLUMN horizon BIGINT"))
        raise RuntimeError("power cut")

    before = described(url)
    with monkeypatch.context() as patch, closing(Store(url)) as store:
        patch.setattr("serving.database.upgrade", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            store.latest_run("shop")
    assert described(url) == before
