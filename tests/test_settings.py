"""Settings: a variable that cannot be used is named, with the way out."""

import pytest

from vpp_streams.errors import SettingsError
from vpp_streams.settings import load_settings


def test_a_variable_that_was_replaced_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignored, it would let devices in by token where certificates were required."""
    monkeypatch.setenv("VPP_TLS_CLIENT_REQUIRED", "1")
    with pytest.raises(SettingsError, match="set VPP_TLS_CLIENT=required"):
        load_settings()


def test_a_value_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VPP_TLS_CLIENT", "sometimes")
    with pytest.raises(SettingsError, match=r"VPP_TLS_CLIENT: .*'sometimes'"):
        load_settings()
