"""Who sends an HTTP request: the holder of its token, or of the session in its cookie."""

from collections.abc import Collection

from starlette.types import Scope

from vpp_streams.domain.access.rights import Principal
from vpp_streams.serving.logins import Logins
from vpp_streams.serving.problems import ApiError
from vpp_streams.web.callers import bearer_of, client_address, session_of


class Senders:
    """Finds out who sends requests."""

    def __init__(self, logins: Logins, proxies: Collection[str] = ()) -> None:
        """``proxies`` are addresses that stand for many clients."""
        self._logins = logins
        self._proxies = frozenset(proxies)

    def sender(self, scope: Scope) -> Principal | None:
        """Who sends a request; None if it has neither a token nor a session that holds.

        Raises `ApiError` for a token that nobody has (401), and while its address is locked out
        (429). A session that has ended is no error: it is as none.
        """
        token = bearer_of(scope)
        if token is not None:
            return self._logins.holder(client_address(scope), token)
        word = session_of(scope)
        return None if word is None else self._logins.session(word)

    def again(self, scope: Scope) -> Principal | None:
        """Who sends a request that lasts, asked again: None once its token or session has ended."""
        token, word = bearer_of(scope), session_of(scope)
        if token is not None:
            return self._logins.holder_now(token)
        return None if word is None else self._logins.session(word)

    def is_operator(self, scope: Scope) -> bool:
        """Whether a request is of somebody who gives orders; a wrong token is only logged here."""
        token = bearer_of(scope)
        try:
            if token is not None and client_address(scope) in self._proxies:
                # Only one of the proxy's clients is wrong: `holder` finds out which.
                who = self._logins.holder_now(token)
            else:
                who = self.sender(scope)
        except ApiError:
            return False
        return who is not None and who.gives_orders
