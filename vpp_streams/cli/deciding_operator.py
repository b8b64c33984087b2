"""Who decides about the ledger: the operator whose token is in the environment."""

from vpp_streams.errors import OrderRefusedError, SettingsError
from vpp_streams.settings import Settings


def deciding_operator(settings: Settings) -> str:
    """The name of the operator of VPP_OPERATOR_TOKEN, who has the right ``settle``.

    A name cannot be given: the second person of a payout must be another one. Raises
    `SettingsError` without a token or a file of operators, and `OrderRefusedError`.
    """
    from vpp_streams.web.operators import holder_of, read_operators

    if settings.operators is None or settings.operator_token is None:
        raise SettingsError(
            "set VPP_OPERATORS to the file of operators and VPP_OPERATOR_TOKEN to your own token;"
            " `vpp operators token NAME --may settle` makes one"
        )
    operators = read_operators(settings.operators)
    operator = holder_of(settings.operator_token.get_secret_value(), operators)
    if operator is None:
        raise OrderRefusedError("VPP_OPERATOR_TOKEN is the token of nobody in VPP_OPERATORS")
    if (denial := operator.denial("settle", ())) is not None:
        raise OrderRefusedError(f"{denial}; add it to `may` in VPP_OPERATORS")
    return operator.name
