"""Models are loaded beside the requests: what is there answers, what fails is tried again after a while."""

import threading
from contextlib import closing
from itertools import pairwise
from types import SimpleNamespace

import pytest

from commands import server, settings
from features.errors import InputError, NoModelError
from serving.champions import Champions
from serving.problems import NotReadyError
from serving.state import Settings, State


def answering(**versions):
    """Stands where a scorer would: nothing here asks it for an answer."""
    return SimpleNamespace(versions=versions)


class Registry:
    """What is champion, and what cannot be loaded."""

    def __init__(self, **champions):
        self.champions, self.loads, self.broken = champions, [], None

    def load(self):
        self.loads.append(dict(self.champions))
        if self.broken is not None:
            raise self.broken
        return answering(**self.champions)

    def registered(self):
        return dict(self.champions)


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr("serving.champions.time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def test_nobody_waits_for_models_that_are_being_loaded():
    begun, go_on = threading.Event(), threading.Event()

    def load():
        begun.set()
        assert go_on.wait(20)
        return answering(churn=1)

    champions = Champions("shop", load, dict, 1.0)
    thread = threading.Thread(target=champions.renew)
    thread.start()
    assert begun.wait(20)
    with pytest.raises(NotReadyError, match="the models are being loaded"):
        champions.scorer()
    go_on.set()
    thread.join()
    assert champions.scorer().versions == {"churn": 1}


def test_nobody_waits_for_new_champions_either():
    registry, begun, go_on = Registry(churn=1), threading.Event(), threading.Event()
    champions = Champions("shop", registry.load, registry.registered, 1.0)
    assert champions.renew()
    plain, registry.champions = registry.load, {"churn": 2}
    champions._load = lambda: (begun.set(), go_on.wait(20), plain())[2]
    thread = threading.Thread(target=champions.renew)
    thread.start()
    assert begun.wait(20)
    assert champions.scorer().versions == {"churn": 1}
    go_on.set()
    thread.join()
    assert champions.scorer().versions == {"churn": 2}


def test_what_cannot_be_loaded_is_tried_again_after_ever_longer_rests(clock):
    registry = Registry(churn=1)
    registry.broken = InputError("models", "the files are damaged")
    champions, tried = Champions("shop", registry.load, registry.registered, 5.0), []
    for _ in range(200):
        champions.renew()
        tried.append(len(registry.loads))
        clock.seconds += 1
    first = [tried.index(count) for count in range(1, tried[-1] + 1)]
    assert [after - before for before, after in pairwise(first)] == [5, 10, 20, 40, 60, 60]
    with pytest.raises(NotReadyError, match="the files are damaged"):
        champions.scorer()
    registry.broken = None
    clock.seconds += 60
    assert champions.renew()
    assert champions.scorer().versions == {"churn": 1}


def test_a_first_champion_is_looked_for_without_ever_longer_rests(clock):
    registry = Registry()
    registry.broken = NoModelError("shop", "no champion", "", "train")
    champions = Champions("shop", registry.load, registry.registered, 5.0)
    for _ in range(41):
        champions.renew()
        clock.seconds += 1
    assert len(registry.loads) == 9


@pytest.mark.parametrize("falls_back", [True, False])
def test_a_champion_that_cannot_be_loaded_rests_and_the_next_one_does_not(clock, falls_back):
    registry = Registry(churn=1)
    champions = Champions("shop", registry.load, registry.registered, 5.0)
    assert champions.renew()
    registry.champions = {"churn": 2}
    plain, tried = registry.load, []

    def load():
        tried.append(dict(registry.champions))
        if registry.champions == {"churn": 2}:
            if falls_back:
                return answering(churn=1)
            raise InputError("champions", "trained by other features")
        return plain()

    champions._load = load
    for _ in range(16):
        assert not champions.renew()
        clock.seconds += 1
    assert tried == [{"churn": 2}] * 3
    registry.champions = {"churn": 3}
    assert champions.renew()
    assert champions.scorer().versions == {"churn": 3}


def test_a_registry_that_is_away_is_one_line_in_the_log(caplog):
    registry = Registry(churn=1)
    champions = Champions("shop", registry.load, registry.registered, 5.0)
    champions.renew()

    def away():
        raise ConnectionError("away")

    champions._registered = away
    assert [champions.renew() for _ in range(5)] == [False] * 5
    assert [one.message for one in caplog.records] == ["the champions of shop cannot be looked up: away"]


def test_while_the_registry_is_away_one_asks_it_and_the_others_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.state._REGISTRY_SECONDS", 0.05)
    asked, go_on = [], threading.Event()

    def listed():
        asked.append(1)
        go_on.wait(20)
        return []

    with closing(State(Settings("shop", f"sqlite:///{tmp_path}/s.db"), list, listed, lambda *_: None)) as state:
        for _ in range(20):
            with pytest.raises(NotReadyError, match="the server's log says why"):
                state.models()
            with pytest.raises(NotReadyError, match="the server's log says why"):
                state.model_file("churn", 1, "model_card.json")
    go_on.set()
    assert len(asked) == 1


def test_a_decision_from_a_page_knows_the_settings_in_a_thread_of_its_own():
    found = settings.Settings(*[None] * 8)
    told = []
    thread = threading.Thread(target=lambda: told.append(server._under(found, settings.current)()))
    thread.start()
    thread.join()
    assert told == [found]
