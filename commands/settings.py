"""What the environment decides: `journeycast.py` reads it once and every command asks here."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the environment decides, read once.

    `run_id` is the MLflow run that `mlflow run` began, `spark_remote` the address of a Spark server (null: none),
    `find_java` lets Spark find a Java before it starts. Changes of risk band are kept for `keep_changes_days`;
    `before_serving` readies the environment of a server, whose workers leave counts in a folder (null: one worker).
    """

    home: Path
    store_url: str
    tracking_uri: str
    run_id: str | None
    spark_remote: str | None
    find_java: Callable[[], None]
    keep_changes_days: float
    before_serving: Callable[[Path | None], None]

    @property
    def artifacts(self) -> Path:
        """Where runs keep their artifacts, unless a server does."""
        return self.home / "artifacts"

    @property
    def models(self) -> Path:
        """Where served models are kept by their digest."""
        return self.home / "models"

    @property
    def parts(self) -> Path:
        """Where logs too large for memory are split while they are scored."""
        return self.home / "parts"

    def uploads(self, journey: str) -> Path:
        """Where uploaded files of a journey wait to be confirmed."""
        return self.home / "uploads" / journey


_CURRENT: ContextVar[Settings] = ContextVar("settings")


def use(settings: Settings) -> None:
    """Let every command see these settings from now on."""
    _CURRENT.set(settings)


def current() -> Settings:
    """The settings of the command that is running."""
    return _CURRENT.get()
