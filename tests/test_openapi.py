"""Requests made from the OpenAPI document: none breaks the server, and every answer is as documented."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from receiver import OWN
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from shop import read_shop, train_scorer
from stores import VERSIONS, answer_of

from features.journey import RiskBands
from serving.app import create_app
from serving.clock import now
from serving.state import Settings
from serving.store import Options, Store

EXAMPLES = 6  # of each route, each mode


@pytest.fixture(scope="module")
def documented(tmp_path_factory):
    journey, log = read_shop(tmp_path_factory.mktemp("shop"))
    scorer = train_scorer(journey, log)
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/scores.db"
    store = Store(url)
    for probability in (0.1, 0.9):
        store.write_run(
            "shop", journey.observed_until_microseconds, now(), VERSIONS, [answer_of("h1", probability=probability)],
            options=Options(RiskBands()),
        )  # fmt: skip
    store.close()
    told = Settings("shop", url, outbound=OWN, score=("true",), definition=journey)
    app = create_app(told, load_scorer=lambda: scorer, list_models=list)
    return schemathesis.openapi.from_asgi("/openapi.json", _without_keys(app))


def _without_keys(app):
    """The application with a document that asks for no key: there is none, and keys have tests of their own."""
    document = app.openapi()
    del document["components"]["securitySchemes"]
    for methods in document["paths"].values():
        for operation in methods.values():
            operation.pop("security", None)
    return app


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_as_documented(documented, mode):
    failed = {}
    for found in documented.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
        )
        def check(case):
            # What a schema cannot say (a stage of this journey, a cursor that was given out) may be refused.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        try:
            check()
        except Unsatisfiable:
            pass  # a route without parameters has nothing that could be wrong
        except BaseExceptionGroup as problem:
            failed[operation.label] = problem
    assert {label: str(problem) for label, problem in failed.items()} == {}
