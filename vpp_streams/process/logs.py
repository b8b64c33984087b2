"""Logs: lines for people, or one JSON object a line with ``VPP_LOG_JSON=true``."""

import logging
import sys

import structlog

from vpp_streams.process.log_limit import LogLimit
from vpp_streams.settings import Settings


def set_up_logs(settings: Settings) -> None:
    """Send structlog and the libraries' own logging to standard error, in one format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_handler(shared, settings.log_json)]
    root.setLevel(settings.log_level)
    # aiokafka logs every metadata refresh while a broker restarts; our errors report it once.
    logging.getLogger("aiokafka").setLevel(max(logging.WARNING, root.level))


def _handler(shared: list[structlog.typing.Processor], as_json: bool) -> logging.Handler:
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # The pretty one writes out every local value, which may be a million of them.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(LogLimit())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    return handler
