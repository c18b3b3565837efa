"""Of several servers one does what only one may, whatever clocks say; and what another writes meanwhile is refused."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import func, select
from stores import VERSIONS, answer_of, ids

from features.schema import DAY, HOUR
from serving import runs
from serving.child import Child
from serving.clock import now
from serving.leases import Lease, LeaseLostError, scoring
from serving.rescorer import Rescorer
from serving.runs import Asked, GivenUpError, UnknownRunError
from serving.store import Options, Store
from serving.tables import scores

IDLE = (sys.executable, "-c", "")
SLEEPING = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def watch(monkeypatch):
    """Everybody's stopwatch, which stands still until it is moved."""
    at = [0.0]
    monkeypatch.setattr("serving.leases.monotonic", lambda: at[0])

    def move(seconds: float) -> None:
        at[0] += seconds

    return move


def ask(store: Store) -> int:
    with store.transaction(writes=True) as connection:
        return runs.ask(connection, "shop")[0]


def read(store: Store, run_id: int):
    with store.transaction() as connection:
        return runs.read(connection, "shop", run_id)


def rescorer(store: Store, command=IDLE, every: float | None = None, **settings) -> Rescorer:
    return Rescorer(store, "shop", command, every, lambda: True, **settings)


def write(store: Store, answers, asked: Asked | None = None) -> int:
    return store.write_run("shop", 10 * DAY, now(), VERSIONS, answers, options=Options(asked=asked))


# who holds a lease


def test_a_lease_that_is_renewed_is_nobody_elses(store, watch):
    one, two = Lease(store, "work"), Lease(store, "work")
    for _ in range(12):
        assert one.hold()
        assert not two.hold()
        watch(9)


def test_a_lease_that_beats_no_more_is_taken_by_one_of_those_who_watched_it(store, watch):
    gone, two, three = (Lease(store, "work") for _ in range(3))
    assert gone.hold()
    assert [two.hold(), three.hold()] == [False, False]
    watch(29)
    assert [two.hold(), three.hold()] == [False, False]
    watch(2)
    assert not gone.held
    assert [two.hold(), three.hold()] == [True, False]
    assert two.fence > gone.fence
    assert not gone.hold()


def test_a_lease_that_is_given_up_is_taken_at_once(store, watch):
    one, two = Lease(store, "work"), Lease(store, "work")
    assert one.hold()
    one.release()
    assert two.hold()
    one.release()
    assert not one.hold()


def test_under_a_lease_that_is_lost_nothing_is_written(store, watch):
    slept, other = Lease(store, "work"), Lease(store, "work")
    assert slept.hold()
    assert not other.hold()
    watch(31)
    assert other.hold()
    with store.transaction(writes=True) as connection:
        other.check(connection)
        with pytest.raises(LeaseLostError, match="another server"):
            slept.check(connection)
    assert not slept.held


# who writes a run


def test_two_who_ask_at_once_ask_for_one_run(store):
    store.latest_run("shop")
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: ask(store), range(16)))) == 1


def test_of_two_who_begin_the_same_run_one_does(store):
    run_id, outcomes, together = ask(store), [], threading.Barrier(2)

    def begin() -> None:
        together.wait()
        try:
            outcomes.append(write(store, [answer_of("a")], Asked(run_id)))
        except UnknownRunError:
            outcomes.append(None)

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [run_id, None]


def test_a_run_of_a_server_that_scores_no_more_is_not_begun(store):
    run_id, lease = ask(store), Lease(store, scoring("shop"))
    assert lease.hold()
    lease.release()
    with pytest.raises(LeaseLostError, match="another server"):
        write(store, [answer_of("a")], Asked(run_id, lease.fence))
    assert runs.status(read(store, run_id)) == "waiting"


def test_a_run_goes_on_while_its_server_holds_the_lease(store):
    run_id, lease, another = ask(store), Lease(store, scoring("shop")), rescorer(store)
    assert lease.hold()

    def answers():
        another.step()
        yield answer_of("a")

    assert write(store, answers(), Asked(run_id, lease.fence)) == run_id
    another.close()


def test_whoever_takes_over_writes_the_run_anew_and_nobody_else_does(store):
    run_id, lease = ask(store), Lease(store, scoring("shop"))
    assert lease.hold()
    with closing(rescorer(store)) as another:

        def answers():
            yield from (answer_of(f"old{number:04}") for number in range(2000))
            lease.release()
            another.step()  # gives back
            assert runs.status(read(store, run_id)) == "waiting"
            taken = Lease(store, scoring("shop"))
            another.close()
            assert taken.hold()
            write(store, [answer_of("new")], Asked(run_id, taken.fence))
            yield answer_of("old")

        with pytest.raises(GivenUpError, match="was given up meanwhile"):
            write(store, answers(), Asked(run_id, lease.fence))
    assert ids(store.at_risk("shop")) == ["new"]
    assert (read(store, run_id).failed, read(store, run_id).restarts) == (None, 1)
    with store.transaction() as connection:
        assert connection.execute(select(func.count()).select_from(scores)).scalar() == 1


def test_a_run_that_takes_its_server_with_it_fails_in_the_end(store):
    run_id = ask(store)
    for _ in range(1 + runs.RESTARTS):
        lease = Lease(store, scoring("shop"))
        assert lease.hold()

        def killed():
            yield answer_of("a")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write(store, killed(), Asked(run_id, lease.fence))
        lease.release()
        another = rescorer(store)
        another.step()
        another.close()
    assert read(store, run_id).failed == runs.STOPPED


# the process that writes


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def telling(tmp_path) -> tuple[str, ...]:
    file = str(tmp_path / "pid")
    return sys.executable, "-c", f"import os, time; open({file!r}, 'w').write(str(os.getpid())); time.sleep(60)"


def begun(tmp_path) -> int:
    file, until = tmp_path / "pid", time.monotonic() + 30
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return int(file.read_text())


def test_a_server_that_lost_its_lease_ends_the_run_it_began(here, tmp_path, caplog):
    run_id = ask(here)
    with closing(rescorer(here, telling(tmp_path), lease_seconds=0.0)) as one:
        one.step()
        process = begun(tmp_path)
        other = Lease(here, scoring("shop"), 0.0)
        while not other.hold():
            pass
        one.step()
        assert not alive(process)
    assert f"run {run_id} of shop is stopped: another server scores" in caplog.text
    assert other.hold()


def test_a_server_that_ends_lets_its_run_wait_again(here, tmp_path):
    run_id, one = ask(here), rescorer(here, telling(tmp_path))
    one.step()
    process = begun(tmp_path)
    one.close()
    assert not alive(process)
    assert runs.status(read(here, run_id)) == "waiting"
    assert Lease(here, scoring("shop")).hold()


def test_a_run_that_is_killed_waits_again_until_it_was_killed_too_often(here):
    run_id, killing = ask(here), "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with closing(rescorer(here, (sys.executable, "-c", killing))) as one:
        while read(here, run_id).failed is None:
            one.step()
            time.sleep(0.02)
    assert (read(here, run_id).failed, read(here, run_id).restarts) == (runs.STOPPED, runs.RESTARTS)


def test_a_run_that_cannot_be_started_says_so(here):
    run_id = ask(here)
    with closing(rescorer(here, ("/no/such/command",))) as one:
        one.step()
    assert read(here, run_id).failed == "no process could be started for it: No such file or directory"


def test_a_run_whose_failure_cannot_be_kept_is_told_of_later(here, monkeypatch):
    child = Child((sys.executable, "-c", "import sys; sys.exit('event log: is gone')"), 1, 1)
    while child.ended() is None:
        time.sleep(0.02)
    assert [child.ended(), child.ended()] == ["event log: is gone"] * 2


def test_a_run_ends_with_the_server_that_began_it():
    script = "import time; from serving.child import end_with_parent; end_with_parent(); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        process.stdin.close()
        assert process.wait(60) == -signal.SIGTERM


# the schedule


@pytest.fixture
def here(tmp_path):
    """A store for what has nothing to do with the database."""
    with closing(Store(f"sqlite:///{tmp_path}/scores.db")) as store:
        yield store


@pytest.fixture
def clock(monkeypatch):
    """The server's clock, which is set by hand."""
    at = [now()]
    for module in ("store", "runs", "rescorer"):
        monkeypatch.setattr(f"serving.{module}.now", lambda: at[0])

    def move(by: int) -> int:
        at[0] += by
        return at[0]

    return move


def scored(store: Store, at: int) -> None:
    store.write_run("shop", 10 * DAY, at, VERSIONS, [answer_of("a")])


@pytest.mark.parametrize("jump", [-365 * DAY, -2 * DAY, 2 * DAY, 365 * DAY])
def test_a_clock_that_is_set_asks_for_one_run_and_the_schedule_goes_on(here, clock, jump):
    schedule = rescorer(here, every=24 * 3600.0)
    scored(here, clock(0))
    assert not schedule.due()
    for by in (jump, -jump):
        at = clock(by)
        assert schedule.due()
        scored(here, at)
        assert not schedule.due()
        clock(23 * HOUR)
        assert not schedule.due()
        clock(-23 * HOUR)
    clock(25 * HOUR)
    assert schedule.due()


@pytest.mark.parametrize("step", [-HOUR, -1, 0])
def test_a_clock_that_is_put_right_asks_for_nothing(here, clock, step):
    schedule = rescorer(here, every=24 * 3600.0)
    scored(here, clock(0))
    clock(step)
    assert not schedule.due()


def test_a_run_that_failed_before_the_clock_was_set_back_silences_nothing(here, clock):
    schedule = rescorer(here, every=24 * 3600.0)
    run_id = ask(here)
    with here.transaction(writes=True) as connection:
        runs.fail(connection, run_id, None, "the log is gone")
    assert not schedule.due()
    clock(-365 * DAY)
    assert schedule.due()
