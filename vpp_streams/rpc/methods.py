"""The methods of a service: each declares the right that it needs beside its handler."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from vpp_streams.domain.access.rights import Principal
from vpp_streams.serving.needs import Need

_PLACES = ("region", "site_id", "market", "bid_id", "request_id")
"""Fields of requests that name a place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: who sends it, and how long it may take."""

    who: Principal
    token: str
    remaining_s: Callable[[], float | None]
    """Time until its deadline, s; None = it has none."""
    outcome: list[str]
    """What came of it in words, for the audit trail: what is said last counts."""


Answer = Callable[[Any, Call], Awaitable[Message]]
Send = Callable[[bytes], Awaitable[None]]
Watch = Callable[[Any, Call, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method with what it needs; one of ``answer`` and ``watch`` handles it."""

    descriptor: MethodDescriptor
    need: Need
    order: bool = False
    """It changes something, so each call is in the audit trail."""
    answer: Answer | None = None
    watch: Watch | None = None

    @property
    def name(self) -> str:
        """Its short name, such as ``DispatchService.Hold``."""
        return f"{self.descriptor.containing_service.name}.{self.descriptor.name}"

    @property
    def request_type(self) -> type[Message]:
        """The class of its requests."""
        return GetMessageClass(self.descriptor.input_type)

    def places(self, request: Message) -> dict[str, str]:
        """The places that a request names, by the name of the field."""
        fields = request.DESCRIPTOR.fields_by_name
        return {name: getattr(request, name) for name in _PLACES if name in fields}


class Methods:
    """The methods of one service, as far as they are declared."""

    def __init__(self, service: ServiceDescriptor) -> None:
        self.service = service
        self.declared: dict[str, Method] = {}

    def answer(self, name: str, need: Need, handler: Answer, *, order: bool = False) -> None:
        """Declare a method that answers once."""
        self._add(name, need, order=order, answer=handler)

    def watch(self, name: str, need: Need, handler: Watch) -> None:
        """Declare a method that answers with a stream."""
        self._add(name, need, watch=handler)

    def _add(self, name: str, need: Need, **more: Any) -> None:
        descriptor = self.service.methods_by_name[name]
        self.declared[name] = Method(descriptor=descriptor, need=need, **more)
