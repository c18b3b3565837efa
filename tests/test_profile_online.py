"""A profile feature is the same for one customer online as for all in a batch."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import polars as pl
import pytest
from shop import DEFINITION, write_log

from features.definition import read as read_journey
from features.errors import InputError
from features.log import read
from features.schema import CUSTOMER, CUTOFF
from serving.champions import Champions
from serving.current import Current
from serving.erasure import erase
from serving.forgetting import Forgetting, HeldProfile
from serving.scorer import Scorer, Served
from serving.store import Store
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


def test_a_server_lets_go_of_the_profile_of_whoever_is_erased_elsewhere(shop, store, url):
    _, log, model = shop
    scored, reads = [], []

    def read(erased):
        reads.append(erased)
        return log.profile

    profile = HeldProfile(Store(url), "shop", read)
    champions = Champions("shop", lambda: Scorer({"churn": Served(model, 1)}, profile.now().rows), dict, 1.0)
    forgetting = Forgetting(profile, champions, Current(store, Lock()))
    for _ in range(2):
        champions.renew()
        forgetting.step()
        scored.append(champions.scorer())
    erase(store, "shop", "c007")
    forgetting.step()
    after = champions.scorer()
    assert (scored[0] is scored[1], reads) == (True, [None])
    assert set(scored[0].profile[CUSTOMER]) - set(after.profile[CUSTOMER]) == {"c007"}
    cutoffs = pl.DataFrame({CUSTOMER: ["c007", "c008"], CUTOFF: [shop[0].observed_until_microseconds] * 2})
    assert after.vectors(log.events, cutoffs)["profile_income"].to_list() == [None, 30_056.0]
    champions.renew()
    forgetting.step()
    assert champions.scorer() is after
    profile.close()
