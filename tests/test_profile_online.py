"""A profile feature is the same for one customer online as for all in a batch."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop import DEFINITION, write_log

from features.definition import read as read_journey
from features.errors import InputError
from features.log import read
from features.schema import CUSTOMER
from serving.scorer import Scorer, Served
from training.recipe import Recipe
from training.train import train

PROFILE = """
profile:
  file: profile.csv
  features: {plan: {static: true}, income: {static: true}}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("profile")
    write_log(folder / "events.csv", customers=200)
    plans = [f"c{number:03},{('gold', 'basic')[number % 3 == 0]},{30_000 + 7 * number}" for number in range(200)]
    (folder / "profile.csv").write_text("\n".join(["customer_id,plan,income", *plans]))
    (folder / "shop.yml").write_text(DEFINITION + PROFILE)
    journey, log = read(*read_journey(folder / "shop.yml"), threads=1)
    return journey, log, train(journey, log, ["churn"], Recipe(), 1, lambda _: None)[0].model


def test_the_profile_reaches_the_vectors_of_a_batch_and_of_one(shop):
    journey, log, model = shop
    scorer = Scorer({"churn": Served(model, 1)}, log.profile)
    everyone = log.events.select(CUSTOMER).unique().sort(CUSTOMER)
    cutoffs = everyone.with_columns(cutoff=journey.observed_until_microseconds)
    batch = scorer.vectors(log.events, cutoffs)
    assert set(batch["profile_plan"]) == {"gold", "basic"}
    matrix, names = model.encoding.matrix(batch), model.encoding.names
    assert matrix[:, names.index("profile_income")].tolist() == batch["profile_income"].to_list()  # no places
    assert batch["profile_income"].n_unique() == len(batch)
    for customer in batch[CUSTOMER][:5]:
        events, own = (frame.filter(frame[CUSTOMER] == customer) for frame in (log.events, cutoffs))
        assert scorer.vectors(events, own).rows() == batch.filter(batch[CUSTOMER] == customer).rows()


def test_a_scorer_without_the_profile_its_models_learned_from_is_refused(shop):
    with pytest.raises(InputError, match="profile: not given"):
        Scorer({"churn": Served(shop[2], 1)})
