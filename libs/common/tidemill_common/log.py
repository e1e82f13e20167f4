"""Structured logs: one JSON object a line on stderr, with the facts and the trace of each event."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

import orjson
from opentelemetry import trace

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_MAX_TEXT = 4096
_CHATTY = ("aiokafka", "faust", "mode", "asyncio", "grpc", "fsspec", "urllib3", "opentelemetry")


class JsonFormatter(logging.Formatter):
    """Write a record as JSON: time, level, service, event, trace, then its `extra` fields."""

    def __init__(self, service: str) -> None:
        """Name the service in every line."""
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a value that JSON does not know is written as its text, cut short."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "event": record.getMessage()[:_MAX_TEXT],
            "logger": record.name,
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace"] = f"{context.trace_id:032x}"
            line["span"] = f"{context.span_id:016x}"
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info is not None and record.exc_info[0] is not None:
            line["error_type"] = record.exc_info[0].__name__
            line["error_trace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=_text, option=orjson.OPT_NON_STR_KEYS).decode()


def _text(value: object) -> str:
    """Return the text of a value that JSON does not know."""
    return str(value)[:_MAX_TEXT]


def configure(service: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log of this process to `stream` (stderr) as JSON; libraries only from WARNING."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("asyncpg").setLevel(logging.ERROR)  # a database that is away is told by us
