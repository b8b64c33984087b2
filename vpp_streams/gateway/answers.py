"""Kafka's answers, to those that wait for them."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import structlog

log = structlog.get_logger()

OnAnswer = Callable[[bool], None]
"""Called once, with True when Kafka has it (acks=all), False when it did not take it."""


def answer_all(waiting: Iterable[OnAnswer], stored: bool) -> None:
    """Report to each of them; a failure of one does not affect the others."""
    for on_answer in waiting:
        try:
            on_answer(stored)
        except Exception:
            log.exception("bug: a session could not take Kafka's answer")


def failure_of(sent: asyncio.Future[Any]) -> BaseException | None:
    """Why what was sent is not in Kafka; None = it is."""
    return asyncio.CancelledError() if sent.cancelled() else sent.exception()
