"""Who decides about the ledger: whoever has the token in the environment."""

from vpp_streams.errors import OrderRefusedError, SettingsError
from vpp_streams.settings import Settings


def deciding_operator(settings: Settings) -> str:
    """The name of the holder of VPP_TOKEN, who has the right ``settle``.

    A name cannot be given: the second person of a payout must be another one. Raises
    `SettingsError` without a token, and `OrderRefusedError`.
    """
    from vpp_streams import clock
    from vpp_streams.accounts.accounts import Accounts, accounts_file
    from vpp_streams.serving.operators import holder_of, principal_of, read_operators

    if settings.api_token is None:
        raise SettingsError(
            "set VPP_TOKEN to your own token, of an account here or of the file VPP_OPERATORS;"
            " `vpp operators token NAME --may settle` makes one for the file"
        )
    token, now_ms = settings.api_token, clock.now_ms()
    who = Accounts(accounts_file(settings)).sessions.token_holder(token, now_ms)
    if who is None and settings.operators is not None:
        operator = holder_of(token, read_operators(settings.operators), now_ms)
        who = None if operator is None else principal_of(operator)
    if who is None:
        raise OrderRefusedError("nobody has the token VPP_TOKEN, in the accounts or VPP_OPERATORS")
    if (denial := who.denial("settle", ())) is not None:
        raise OrderRefusedError(denial)
    return who.name
