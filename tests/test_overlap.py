"""What is sent while the next is made: in order, and no error is lost."""

from threading import Event, current_thread

import pytest

from serving.overlap import one_ahead


@pytest.mark.parametrize("beside", [True, False])
def test_what_is_sent_is_done_in_order_and_all_of_it_at_the_end(beside):
    done = []
    with one_ahead(beside=beside) as send:
        for number in range(20):
            send(lambda number=number: done.append(number))
    assert done == [*range(20)]


def test_the_next_is_made_while_one_is_sent():
    made = Event()
    with one_ahead(beside=True) as send:
        send(lambda: made.wait(10) or pytest.fail("nobody made the next"))
        made.set()


@pytest.mark.parametrize("beside", [True, False])
def test_the_error_of_the_last_that_is_sent_is_raised(beside):
    with pytest.raises(ZeroDivisionError, match="division"), one_ahead(beside=beside) as send:
        send(lambda: 1 / 0)


def test_an_error_of_the_caller_waits_for_what_is_sent_and_is_the_one_that_is_raised():
    begun, done = Event(), []

    def slow() -> None:
        begun.wait(10)
        done.append(current_thread().name)

    def fail() -> None:
        with one_ahead(beside=True) as send:
            send(slow)
            begun.set()
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert done != [current_thread().name]
    assert len(done) == 1
