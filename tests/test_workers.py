"""Several processes of one server: each may die."""

import os
import signal
import socket
import threading
import time

import pytest
import uvicorn
from uvicorn.supervisors.multiprocess import SIGNALS

from commands.server import _bound
from features.errors import InputError
from serving.workers import Workers


async def nothing(scope, receive, send):
    """An application that answers nothing."""


@pytest.fixture
def workers():
    handlers = {one: signal.getsignal(one) for one in SIGNALS}
    config = uvicorn.Config(nothing, workers=1, lifespan="off", log_config=None, timeout_worker_healthcheck=300)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        found = Workers(config, [bound])
        for one, handler in handlers.items():
            signal.signal(one, handler)
        found.init_processes()
        yield found
        for process in found.processes:
            process.kill()
            process.join()


def until_replaced(workers, number):
    while workers.processes[0].pid == number:  # an answer to an earlier question may still lie in the pipe
        workers.keep_subprocess_alive()


def test_a_worker_that_is_killed_while_it_is_asked_is_replaced_at_once(workers):
    workers.keep_subprocess_alive()
    first = workers.processes[0].pid
    os.kill(first, signal.SIGSTOP)  # it does not answer
    asking = threading.Thread(target=until_replaced, args=(workers, first))
    asking.start()
    time.sleep(0.2)
    os.kill(first, signal.SIGKILL)
    asking.join(60)
    assert not asking.is_alive()
    assert workers.processes[0].pid != first


def test_a_port_is_one_servers_from_the_beginning():
    with _bound("127.0.0.1", 0) as first, pytest.raises(InputError, match="is taken by another server"):
        _bound("127.0.0.1", first.getsockname()[1])
