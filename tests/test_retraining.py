"""Models renewed by rule: when it is due, what is rolled back, who may do it, what a kill leaves."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial

import polars as pl
import pytest
from test_realised import EIGHT, SHOP, expect, log
from trained import RECIPE, tracking_at

from features.journey import Retrain
from features.log import EventLog
from features.schema import DAY
from serving import batch, registry, retraining, rolling_back
from serving.alone import BusyError, alone
from serving.judging import judge_all
from serving.realised import Lookout, reports
from serving.retraining import Tools, retrain
from serving.rolling_back import _behind, roll_back
from serving.store import Store
from training.due import rules_of
from training.grades import Lead
from training.hindsight import against
from training.recipe import Recipe
from training.train import train

SOME = pl.col("customer_id").str.slice(-1).is_in(["2", "3", "7", "8"])  # two customers in five
NEVER = Retrain(age=None, new_data=None, drift=False, grade=None)


@pytest.fixture
def place(tmp_path, champions):
    """A store, and a tracking store with the champions, that a test may change."""
    tracking = tracking_at(tmp_path, champions.cache.parent / "mlflow.db")
    with closing(Store(f"sqlite:///{tmp_path}/scores.db")) as store:
        yield store, tracking, champions.cache


def tools(place, business, scored=None) -> Tools:
    store, tracking, cache = place
    load = partial(registry.load, "simulated", tracking.uri, cache, business.log.profile)
    return Tools(store, tracking, load, scored or (lambda: None), threads=1)


def under(business, rules: Retrain, later: timedelta = timedelta(0)):
    until = business.journey.observed_until + later
    return business.journey.model_copy(update={"retrain": rules, "observed_until": until})


def said(business, trained, rules: Retrain, later: timedelta = timedelta(0), found=()) -> dict[bool, list[str]]:
    models = {name: one.model for name, one in trained.items()}
    journey = under(business, rules, later)
    judged = rules_of(journey, business.log, models, None, found, dict.fromkeys(models, 1))
    return {due: [rule.words for rule in judged if rule.due is due] for due in (True, False)}


def test_age_is_told_in_days(business, trained):
    rules = NEVER.model_copy(update={"age": timedelta(days=90)})
    words = "age: the oldest champion knows the log up to {} days ago, 90d are allowed"
    assert said(business, trained, rules, timedelta(days=89)) == {True: [], False: [words.format(89)]}
    assert said(business, trained, rules, timedelta(days=90)) == {True: [words.format(90)], False: []}


def test_new_data_is_told_as_a_share(business, trained):
    found = said(business, trained, NEVER.model_copy(update={"new_data": 0.1}))
    assert found == {True: [], False: ["new data: 0 % more events than were trained on, 10 % are allowed"]}


def test_a_grade_below_the_one_asked_for_is_due_and_only_of_the_version_that_answers(business, trained):
    rules = NEVER.model_copy(update={"grade": "B"})

    def report(version: int, letter: str) -> dict:
        grade = {"letter": letter, "words": f"{letter}: told"}
        return {"cutoff": "2024-01-01T00:00:00Z", "tasks": {"churn": {"grade": grade, "version": version}}}

    assert said(business, trained, rules, found=[report(2, "D"), report(1, "B")])[True] == []
    [words] = said(business, trained, rules, found=[report(1, "C"), report(1, "A")])[True]
    assert words == "grade of churn on what happened after 2024-01-01: C: told; B is asked for"


def test_a_task_without_a_champion_is_due(business, trained):
    journey = under(business, NEVER)
    found = rules_of(journey, business.log, {"churn": trained["churn"].model}, None, [], {"churn": 1})
    assert [rule.words for rule in found if rule.due] == ["next_stage has no champion", "cltv has no champion"]


def test_what_the_gate_has_just_refused_is_not_trained_again_at_once(business, trained):
    about = trained["cltv"].model.about
    models = {name: one.model for name, one in trained.items() if name != "cltv"}
    grade = {"cutoff": "2024-01-01", "tasks": {"churn": {"version": 1, "grade": {"letter": "D", "words": "D: told"}}}}
    rules = NEVER.model_copy(update={"age": timedelta(days=90), "grade": "B"})
    found = {}
    for days in (27, 28, 90):
        journey = under(business, rules, timedelta(days=days))
        judged = rules_of(journey, business.log, models, None, [grade], dict.fromkeys(models, 1), {"cltv": about})
        found[days] = [rule.words.partition(" ")[0] for rule in judged if rule.due]
    assert found == {27: [], 28: ["grade"], 90: ["cltv", "age:", "grade"]}


def test_age_and_new_data_count_from_the_newest_challenger_that_the_gate_refused(business, trained):
    """Else what it refuses would be trained, registered and refused at every look."""
    model, events = trained["churn"].model, len(business.log.events)
    champion = replace(model, about=model.about | {"log": {"rows": events // 2}})
    rules = NEVER.model_copy(update={"age": timedelta(days=90), "new_data": 0.5})

    def judged(days: int, tried=None, log=business.log) -> list[tuple[bool, str]]:
        found = rules_of(under(business, rules, timedelta(days=days)), log, {"churn": champion}, None, [], {}, tried)
        return [(rule.due, rule.words.partition(":")[0]) for rule in found if "has no champion" not in rule.words]

    observed = model.about["journey"] | {
        "observed_until": (business.journey.observed_until + timedelta(121)).isoformat()
    }
    refused = {"churn": model.about | {"journey": observed, "log": {"rows": events}}}
    assert judged(121) == [(True, "age"), (True, "new data")]
    assert judged(210, refused) == [(False, "age"), (False, "new data")]
    assert judged(211, refused) == [(True, "age"), (False, "new data")]
    half_more = EventLog(pl.concat([business.log.events, business.log.events.head(events // 2 + 1)]))
    assert judged(122, refused, half_more) == [(False, "age"), (True, "new data")]


def test_a_task_whose_first_challenger_was_refused_is_due_by_new_data_alone(business, trained):
    rules = NEVER.model_copy(update={"new_data": 0.5})
    about = trained["churn"].model.about
    for known, due in ((1, False), (2, True)):
        refused = about | {"log": {"rows": len(business.log.events) // known}}
        found = rules_of(under(business, rules), business.log, {}, None, [], {}, dict.fromkeys(trained, refused))
        assert [rule.due for rule in found] == [due] * 3


@pytest.fixture(scope="module")
def of_broken_feed(business):
    """A churn model trained while every other purchase was lost: its chances lie higher."""
    lost = (pl.col("event") == "purchase") & (pl.col("time") // 1000 % 2 == 0)
    seen = replace(business.log, events=business.log.events.filter(SOME & ~lost))
    [found] = train(business.journey, seen, ["churn"], Recipe(**RECIPE), 1, lambda _: None)
    return found


def test_a_champion_that_was_trained_on_a_broken_feed_is_rolled_back_in_the_world_as_it_is(
    place, business, later, of_broken_feed, monkeypatch
):
    store, tracking, _ = place
    log = replace(later.log, events=later.log.events.filter(SOME))
    now, then = under(business, NEVER, timedelta(days=28)), under(business, NEVER)
    tracking.register(business.journey, [of_broken_feed])
    tracking.set_champion("simulated", "churn", 2)
    models = tools(place, business).load()
    batch.score(then, log, models, store, lambda done, of: None)

    def compared(*given):
        """Slowly: somebody promotes another version meanwhile."""
        tracking.set_champion("simulated", "churn", 3)
        return against(*given)

    tracking.register(business.journey, [of_broken_feed])
    with monkeypatch.context() as patched:
        patched.setattr(rolling_back, "against", compared)
        [words] = rolled_back(now, log, store, tracking, models.models)
    assert words.endswith("; left as it is: the champion was changed by hand meanwhile")
    assert tracking.champions("simulated", "churn") == (3, 2)
    left = tracking.version("simulated", "churn", 2)
    assert {"decision", "rolled_back", "roll_back_looked"} & set(left.tags) == set()
    tracking.set_champion("simulated", "churn", 1)
    tracking.set_champion("simulated", "churn", 2)
    [words] = rolled_back(now, log, store, tracking, models.models)
    assert "version 2 was" in words
    assert "behind version 1 on what happened" in words
    assert int(tracking.version("simulated", "churn", "champion").version) == 1


def test_a_champion_that_got_worse_in_the_world_is_rolled_back(
    place, business, later, trained, of_broken_feed, monkeypatch
):
    """A competitor opens on the day of the run, and half of the customers buy there from then on."""
    store, tracking, _ = place
    log = replace(later.log, events=later.log.events.filter(SOME))  # who are enough, and judged sooner
    now, then = under(business, NEVER, timedelta(days=28)), under(business, NEVER)
    tracking.register(business.journey, [of_broken_feed])
    tracking.register(business.journey, [trained["churn"]])
    for number in (2, 3):
        tracking.set_champion("simulated", "churn", number)
    scored = []
    at = tools(place, business, lambda: scored.append(1))
    batch.score(then, log, at.load(), store, lambda done, of: None)

    as_ever = retrain(now, log, at, lambda _: None)
    assert (as_ever.due, as_ever.scored, as_ever.decisions, as_ever.rolled_back) == (False, False, [], [])
    assert told(tracking) == []  # where nothing is due, nothing is left behind
    # One run is looked at once: a champion is not asked again and again until chance is against it.
    assert tracking.looked(tracking.version("simulated", "churn", 3)) == (1, then.observed_until_microseconds)
    assert rolled_back(now, with_competitor(log, then), store, tracking, at.load().models) == []
    tracking.keep_look("simulated", "churn", 3, 1, then.observed_until_microseconds - DAY)
    refused = under(business, NEVER.model_copy(update={"roll_back": False}))
    assert rolled_back(refused, with_competitor(log, then), store, tracking, at.load().models) == []
    # Neither by the outcomes of another question, nor to what cannot be served beside the other champions.
    for journey, found in ((asking_of_two_weeks(now), at.load().models), (now, with_cltv_of_a_week(at.load().models))):
        assert rolled_back(journey, with_competitor(log, then), store, tracking, found) == []
    begun, rollback = [], tracking.rollback

    def after_its_story(*given):
        begun.extend(tracking.open_stories("simulated"))
        assert tracking.intents_done("simulated", *begun) == []
        number = rollback(*given)
        begun.extend(tracking.intents_done("simulated", *begun))  # as the next finds it, were this one killed now
        return number

    with monkeypatch.context() as patched:
        patched.setattr(tracking, "rollback", after_its_story)
        story = retrain(now, with_competitor(log, then), at, lambda _: None)
    [words] = story.rolled_back
    assert begun[1:] == [words]
    assert words.startswith("churn: version 3 was")
    assert "behind version 2 on what happened" in words
    assert int(tracking.version("simulated", "churn", "champion").version) == 2
    assert tracking.version("simulated", "churn", 2).tags["decision_words"] == words
    assert (story.due, story.scored, scored) == (False, True, [1])
    [run] = told(tracking)
    assert (run.info.run_id, run.data.tags["rolled_back"]) == (begun[0], words)
    # The version that was left does not come back, whatever it would have said of that month.
    assert rolled_back(now, with_competitor(log, then), store, tracking, at.load().models) == []
    # Nor does the same run undo it where somebody brings it back by hand.
    tracking.set_champion("simulated", "churn", 3)
    assert rolled_back(now, with_competitor(log, then), store, tracking, at.load().models) == []


@pytest.mark.parametrize(("look", "behind"), [(1, 2.24), (2, 2.64), (12, 3.6)])
def test_each_look_at_a_champion_asks_for_more(look, behind):
    """In standard errors: 2.5 % of chance, one-sided, over all looks together."""
    for more, expected in ((0.02, True), (-0.02, False)):
        ahead = -(behind + more)
        assert _behind(Lead(ahead, ahead - 1.96, ahead + 1.96), look) is expected


def rolled_back(journey, log, store, tracking, champions) -> list[str]:
    lookout = Lookout(store, journey, anew=True)
    lookout.add(log.events)
    return [words for _, words in roll_back(journey, log, lookout.found(), tracking, champions)]


def asking_of_two_weeks(journey):
    churn = journey.tasks.churn.model_copy(update={"within": timedelta(days=14)})
    return journey.model_copy(update={"tasks": journey.tasks.model_copy(update={"churn": churn})})


def with_cltv_of_a_week(champions):
    """The champions, but that of cltv was trained with other windows."""
    served = champions["cltv"]
    about = served.model.about | {"journey": served.model.about["journey"] | {"windows": ["7d"]}}
    return champions | {"cltv": replace(served, model=replace(served.model, about=about))}


def with_competitor(log: EventLog, opens) -> EventLog:
    lost = pl.col("customer_id").str.slice(-1).is_in(["0", "2", "4", "6", "8"])
    gone = lost & (pl.col("event") == "purchase") & (pl.col("time") >= opens.observed_until_microseconds)
    return replace(log, events=log.events.filter(~gone))


def test_a_training_that_fails_is_told(place, business, monkeypatch):
    at = tools(place, business)

    def fails(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(retraining, "train", fails)
    with pytest.raises(KeyboardInterrupt):
        retrain(under(business, NEVER), business.log, at, lambda _: None, always=True)
    assert at.tracking.version("simulated", "churn", 2) is None
    [run] = told(at.tracking)
    assert (run.info.status, run.data.tags["failed"]) == ("FAILED", "KeyboardInterrupt")
    assert run.data.tags["why"] == "asked for, whatever the rules say"


def test_a_drift_that_cannot_be_told_keeps_nobody_from_training(place, business, monkeypatch):
    def fails(*_):
        raise pl.exceptions.ColumnNotFoundError("purchase_14d")

    monkeypatch.setattr(retraining, "drift_report", fails)
    journey = under(business, NEVER.model_copy(update={"drift": True}))
    [rule] = retrain(journey, business.log, tools(place, business), print).rules
    assert (rule.due, rule.words) == (False, "drift could not be told: purchase_14d")


@pytest.mark.parametrize("ended", ["KILLED", "FAILED"])
def test_what_a_retraining_had_registered_before_it_ended_is_decided_by_the_next(place, business, trained, ended):
    at = tools(place, business)
    story = at.tracking.begin_story("simulated")
    at.tracking.register(business.journey, [trained["churn"]], story)  # and then the machine was gone
    if ended == "FAILED":
        at.tracking.end_story(story, {"failed": "no space left on device"}, "FAILED")
    assert at.tracking.undecided("simulated", "churn") == 2
    [words] = retrain(under(business, NEVER), business.log, at, lambda _: None).decisions
    assert words.startswith("simulated.churn version 2: not promoted: ")
    assert at.tracking.open_stories("simulated") == []
    after, before = told(at.tracking)
    assert (before.info.run_id, before.info.status) == (story, ended)
    assert (after.info.status, after.data.tags["decisions"]) == ("FINISHED", words)
    assert retrain(under(business, NEVER), business.log, at, lambda _: None).decisions == []


@pytest.mark.parametrize("done", [True, False])
def test_a_roll_back_is_told_although_its_retraining_was_killed(place, business, trained, done):
    at = tools(place, business)
    at.tracking.register(business.journey, [trained["churn"]])
    at.tracking.set_champion("simulated", "churn", 2)
    story = at.tracking.begin_story("simulated")
    at.tracking.keep_intent(story, "churn", (2, 1), "churn: version 2 was behind")
    if done:
        at.tracking.rollback("simulated", "churn", (2, 1))  # and then the machine was gone
    assert retrain(under(business, NEVER), business.log, at, lambda _: None).rolled_back == []
    [run] = told(at.tracking)
    assert (run.info.run_id, run.info.status) == (story, "KILLED")
    assert run.data.tags.get("rolled_back") == ("churn: version 2 was behind" if done else None)
    words = at.tracking.version("simulated", "churn", 1).tags.get("decision_words")
    assert (words == "churn: version 2 was behind") is done


def test_what_the_gate_cannot_decide_on_keeps_nobody_from_training(place, business, trained, monkeypatch):
    at = tools(place, business)
    at.tracking.register(business.journey, [trained["churn"]], at.tracking.begin_story("simulated"))

    def fails(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(retraining, "promote", fails)
    [words] = retrain(under(business, NEVER), business.log, at, lambda _: None).decisions
    assert words == "churn version 2: could not be decided: no space left on device"
    assert at.tracking.undecided("simulated", "churn") == 2


def test_a_model_trained_by_hand_meanwhile_is_not_taken_for_what_was_registered(place, business, trained, monkeypatch):
    at = tools(place, business)
    register = at.tracking.register

    def overtaken(*given):
        made = register(*given)
        register(business.journey, [trained["churn"]])
        return made

    monkeypatch.setattr(retraining, "train", lambda *_: [trained["churn"]])
    monkeypatch.setattr(at.tracking, "register", overtaken)
    [words] = retrain(under(business, NEVER), business.log, at, lambda _: None, always=True).decisions
    assert words.startswith("simulated.churn version 2: not promoted: ")
    assert "decision" not in at.tracking.version("simulated", "churn", 3).tags


def test_of_two_at_once_one_is_told_to_wait(place, business, monkeypatch):
    """Whoever waits sees the lease beat, which is a third of its length away."""
    monkeypatch.setattr("serving.alone.SECONDS", 3.0)
    at = tools(place, business)
    with alone(at.store, "retraining of simulated"), pytest.raises(BusyError, match="is under way elsewhere"):
        retrain(under(business, NEVER), business.log, at, lambda _: None)


def test_judging_stopped_anywhere_and_begun_again_tells_the_same_once(tmp_path):
    events = EventLog(log(*[(name, 5, "buy") for name in EIGHT], ("c1", 20, "buy")))
    found = []
    for stop in (1, 2, 3, 4, None):
        with closing(Store(f"sqlite:///{tmp_path}/{stop}.db")) as store:
            expect(store, EIGHT)
            expect(store, EIGHT, 20 * DAY)
            if stop:
                with pytest.raises(KeyboardInterrupt):
                    judge_all(Stopped(store, stop), SHOP, events, None, lambda _: None)
            judge_all(store, SHOP, events, None, lambda _: None)
            with store.transaction() as connection:
                found.append(reports(connection, "shop"))
    assert len(found[0]) == 2
    assert all(one == found[0] for one in found)


class Stopped:
    """A store whose user is killed as they begin a transaction."""

    def __init__(self, store: Store, after: int) -> None:
        self._store, self._left = store, after

    def transaction(self, **options):
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt
        return self._store.transaction(**options)


def told(tracking) -> list:
    """The runs that tell of retrainings."""
    experiment = tracking.client.get_experiment_by_name("simulated")
    return tracking.client.search_runs([experiment.experiment_id], "tags.story = 'retrain'")
