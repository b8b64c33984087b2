"""``vpp edge enrol``: a home makes its key and fetches its certificate with a one-time code."""

import sys
from contextlib import ExitStack
from pathlib import Path

from edge.clock import day_of
from edge.config import Config, ConfigError, read_config
from edge.identity import enrolment_http
from edge.identity.enrolment import Granted, Request, make_request, validity_ms
from edge.identity.files import IdentityBusyError, IdentityFiles
from edge.identity.logins import files_of

WRONG_CONFIG, REFUSED = 2, 1
"""Exit codes."""


class EnrolError(Exception):
    """The home has no certificate; in one sentence, with the way out."""


def enrol(path: Path, code: str, fingerprint: str) -> int:
    """Enrol the home of a configuration file; returns the exit code, and reports a mistake."""
    try:
        config = read_config(path, enrolled=False)
        ends_ms = enrolled(config, code, fingerprint)
    except ConfigError as error:
        return _said(str(error), WRONG_CONFIG)
    except EnrolError as error:
        return _said(str(error), REFUSED)
    names = config.gateway
    sys.stdout.write(
        f"{names.device_id} is enrolled until {day_of(ends_ms)}, and renews by itself while it"
        f" runs: {names.certificate_file}, {names.key_file}, {names.ca_file}\n"
    )
    return 0


def enrolled(config: Config, code: str, fingerprint: str) -> int:
    """Enrol, and write the files; returns when the certificate ends, ms since 1970 UTC.

    The key is written first and used again by a later attempt, as a code belongs to the first key
    that used it. Raises `EnrolError`.
    """
    if not config.gateway.enrol_url:
        raise EnrolError(
            "[gateway] enrol_url is missing: the address of `vpp ca serve`, which the operator"
            " knows, with certificate_file, key_file and ca_file"
        )
    files = files_of(config)
    with ExitStack() as stack:
        try:
            stack.enter_context(files.locked())
        except IdentityBusyError as error:
            raise EnrolError(f"{error}; the code is not lost: run the same command again") from None
        except OSError as error:
            raise EnrolError(_unwritable(files, error)) from None
        return _enrolled(config, files, code, fingerprint)


def _enrolled(config: Config, files: IdentityFiles, code: str, fingerprint: str) -> int:
    gateway = config.gateway
    request = _request(files, gateway.device_id)
    try:
        answer = enrolment_http.enrol(gateway.enrol_url, code, fingerprint, request.pem)
    except OSError as error:
        raise EnrolError(
            f"{gateway.enrol_url} cannot be reached, or is not the operator's server ({error});"
            " the code is not lost: run the same command again"
        ) from None
    if not isinstance(answer, Granted):
        raise EnrolError(f"refused: {answer.sentence}")
    try:
        files.take(answer)
    except OSError as error:
        raise EnrolError(
            f"the certificate cannot be written ({error}); the code is not lost: make room, and run"
            " the same command again"
        ) from None
    return validity_ms(answer.certificate_pem)[1]


def _request(files: IdentityFiles, device_id: str) -> Request:
    """The request of an earlier attempt's key, or of a new one, which is written first."""
    try:
        pending = files.pending_key()
        request = make_request(device_id, pending)
        if pending is None:
            files.keep_pending(request.key_pem)
    except (OSError, ValueError) as error:
        raise EnrolError(_unwritable(files, error)) from None
    return request


def _unwritable(files: IdentityFiles, error: Exception) -> str:
    return f"the key cannot be written to {files.key.parent} ({error})"


def _said(words: str, code: int) -> int:
    sys.stderr.write(f"vpp edge: {words}\n")
    return code
