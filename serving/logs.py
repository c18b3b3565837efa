"""Log lines of the server, as text for people or as JSON for machines; each names its request."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal, TypeAlias
from uuid import uuid4

import orjson

Form: TypeAlias = Literal["text", "json"]
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_FIELDS = ("method", "route", "status", "milliseconds", "client")


def accepted_id(given: str | None) -> str:
    """The id of a request: the one the client gave, if it is harmless in a log, or a new one."""
    return given if given is not None and _SANE.fullmatch(given) else uuid4().hex


def install(form: Form, level: str = "INFO") -> None:
    """Write every log line of this process to standard error in this form; warnings of libraries, too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel("WARNING")
    logging.getLogger("serving").setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.getLogger("uvicorn.error").setLevel(level)
    logging.captureWarnings(True)


class _Json(logging.Formatter):
    """One object per line: time (UTC), level, logger, message, request_id, and what a request came to."""

    def format(self, record: logging.LogRecord) -> str:
        told = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        told["message"] = record.getMessage()
        if (known := request_id.get()) is not None:
            told["request_id"] = known
        told |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(told, default=str).decode()
        except TypeError:  # half a character, which a line must not fail for
            return json.dumps(told, default=str)


class _Text(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        known = request_id.get()
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}" + (f" [{known}]" if known else "")
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
