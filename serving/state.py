"""What the routes share: the journey's name, the store, and the models once they are loaded."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import Depends, Request

from features.journey import Campaign, Journey
from serving import scratch, uploads
from serving.audit import Audit
from serving.background import end
from serving.champions import Champions, unreadable
from serving.current import Current
from serving.database import StoreError
from serving.intake import Intake
from serving.keys import Keys
from serving.outage import Outage
from serving.outbound import Rules
from serving.problems import UnknownModelError
from serving.rates import Rates
from serving.store import Store
from serving.vector_log import VectorLog
from serving.waiting import within

if TYPE_CHECKING:
    from serving.forgetting import HeldProfile
    from serving.scorer import Scorer

ReadFile = Callable[[str, int, str], bytes | None]  # task, version, name of the file; None: there is none
_Found = TypeVar("_Found")
_log = logging.getLogger(__name__)
_REGISTRY_SECONDS = 20.0  # MLflow tries for minutes to reach what does not answer
_CLOSE_SECONDS = 5.0  # for what waits to be written


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is told when it starts.

    `journey` is the journey's name, `store_url` the score store's address, `body_limit` the bytes a
    request's body may have, `campaign` the costs that lists are told with unless a request says others,
    `log_vectors` the share of predictions whose vector is kept, `definition` the journey's definition
    (null: that of the models). `loopback` says that only this machine can reach the server, which then
    answers without a key as long as there is none; `rate` is how many requests a second a key may send.
    `score` is the command that scores, to which `--fence N --run ID` is added (empty: this server does not score),
    `rescore_seconds` how old the newest run may get (null: any age), `outbound` where messages to webhooks
    may go, `watch_seconds` how often a new champion is looked for, `metrics` the folder where several workers
    leave their counts (null: there is one),
    `uploads` the folder where uploaded files wait to be confirmed (null: one of this server's own), `parts` the
    folder where `score` keeps parts of a log (null: this server does not look after it), `hosts` the
    names under which it may be asked as long as it has no keys (empty: any), `profile` the profile that its models
    are loaded with (null: what it holds of customers in memory stays as it is).
    """

    journey: str
    store_url: str
    body_limit: int = 10_000_000
    campaign: Campaign = field(default_factory=Campaign)
    log_vectors: float = 0.0
    definition: Journey | None = None
    loopback: bool = True
    rate: float = 100.0
    score: tuple[str, ...] = ()
    rescore_seconds: float | None = None
    outbound: Rules = field(default_factory=Rules)
    watch_seconds: float = 5.0
    metrics: Path | None = None
    uploads: Path | None = None
    parts: Path | None = None
    hosts: tuple[str, ...] = ()
    profile: HeldProfile | None = None


class State:
    """The server's own state; safe to share between threads."""

    def __init__(
        self,
        settings: Settings,
        load_scorer: Callable[[], Scorer],
        list_models: Callable[[], list[dict[str, Any]]],
        read_file: ReadFile,
        champions: Callable[[], dict[str, int]] = dict,
    ) -> None:
        self.journey = settings.journey
        self.campaign = settings.campaign
        self.outbound, self.scores = settings.outbound, bool(settings.score)
        self.store = Store(settings.store_url, hurried=True)
        self.keys = Keys(self.store)
        self.audit = Audit(self.store)
        self.rates = Rates(settings.rate)
        self.intake = Intake(self.store, settings.journey)
        self._own_uploads = settings.uploads is None
        self.uploads = settings.uploads or Path(tempfile.gettempdir()) / f"journeycast-{token_hex(8)}"
        self._parts = settings.parts
        self.turn = Lock()  # one prediction at a time: several at once only wait for the interpreter's lock
        self.current = Current(self.store, self.turn)
        self.champions = Champions(settings.journey, load_scorer, champions, settings.watch_seconds)
        self._list, self._read_file, self._registry = list_models, read_file, Outage()
        self._share = settings.log_vectors
        self._definition = settings.definition

    @property
    def loaded(self) -> Scorer | None:
        """The scorer; null: none is loaded."""
        return self.champions.held

    @property
    def definition(self) -> Journey:
        """The journey's definition, by which events are read.

        Raises
        ------
        NoModelError, NotReadyError
            Where the server was not told it, and the models cannot tell.
        """
        return self._definition or self.scorer().journey

    def close(self) -> None:
        """Write what waits to be written, and close the store; within bounded time, whatever the store does."""
        end({"events": self.intake.close, "the audit log": self.audit.close}, _CLOSE_SECONDS)
        end({"the store": self.store.close}, _CLOSE_SECONDS)
        if self._own_uploads:
            shutil.rmtree(self.uploads, ignore_errors=True)

    def tidy(self, seconds: float = uploads.WAITS_SECONDS) -> None:
        """Let go of files that wait for so long to be confirmed, and of what processes that were killed left."""
        uploads.tidy(self.uploads, seconds)
        if self._parts is not None:
            scratch.sweep(self._parts)

    def scorer(self) -> Scorer:
        """The scorer; never waits.

        Raises
        ------
        NoModelError
            Where no model serves the journey yet.
        NotReadyError
            Where the models could not be loaded, or are being loaded.
        """
        return self.champions.scorer()

    def vector_log(self) -> VectorLog | None:
        """Where the vectors of one request go; null: nowhere."""
        if not self._share:
            return None
        return VectorLog(self.store, self.scorer(), share=self._share, events=True)

    def keep(self, vectors: VectorLog | None) -> None:
        """Keep them; an answer does not fail for want of it."""
        try:
            if vectors is not None:
                vectors.write()
        except StoreError as error:
            _log.warning("vectors of %s were not kept: %s", self.journey, error.found)

    def models(self) -> list[dict[str, Any]]:
        """Every registered version of the journey's models.

        Raises
        ------
        NotReadyError
            Where the registry cannot be read.
        """
        return self._answered(self._list)

    def model_file(self, task: str, version: int, name: str) -> bytes:
        """A file logged with a version of one of the journey's models.

        Raises
        ------
        UnknownModelError
            There is no such version, or nothing of this name was logged with it.
        NotReadyError
            Where the registry cannot be read.
        """
        found = self._answered(lambda: self._read_file(task, version, name))
        if found is None:
            raise UnknownModelError(
                f"{self.journey}.{task} version {version}",
                f"has no {name}",
                "a version of GET /v1/models",
                "train again",
            )
        return found

    def _answered(self, ask: Callable[[], _Found]) -> _Found:
        """What the registry answers: nobody waits for long, and few where it is away."""
        self._registry.check()
        try:
            found = within(_REGISTRY_SECONDS, ask)
        except Exception as error:
            told = unreadable(self.journey, error)
            self._registry.begin(told)
            raise told from error
        self._registry.end()
        return found


async def _state_of(request: Request) -> State:  # one that is no coroutine would wait for a thread
    state: State = request.app.state.journeycast
    return state


Shared = Annotated[State, Depends(_state_of)]
