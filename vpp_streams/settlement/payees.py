"""The file of owners' bank accounts. It stays with the operator: no bank account is in the log."""

import csv
from collections.abc import Mapping
from pathlib import Path

from schwifty import IBAN
from schwifty.exceptions import SchwiftyException
from text_unidecode import unidecode

from vpp_streams.domain.ledger.payouts import Payee
from vpp_streams.errors import InputError

COLUMNS = ("site_id", "name", "iban")


def read_payees(path: Path) -> Mapping[str, Payee]:
    """Bank accounts by site, from a CSV file with the columns site_id, name, iban.

    Names are reduced to the Latin letters that banks accept. Raises `InputError` that names each
    line with a fault (up to ten).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := set(COLUMNS) - set(reader.fieldnames or ()):
                raise InputError(f"{path} has no column {', '.join(sorted(missing))}")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error})") from None
    payees: dict[str, Payee] = {}
    faults = []
    for line, row in rows:
        site_id, name, iban = ((row[column] or "").strip() for column in COLUMNS)
        try:
            payee = Payee(site_id, unidecode(name).strip(), checked_iban(iban))
        except InputError as error:
            faults.append(f"line {line}: {error}")
            continue
        if not site_id or not payee.name:
            faults.append(f"line {line}: it has no site_id or no name")
        elif site_id in payees:
            faults.append(f"line {line}: {site_id} is there twice")
        payees[site_id] = payee
    if faults:
        more = f", and {len(faults) - 10} more" if len(faults) > 10 else ""
        raise InputError(f"{path}: {'; '.join(faults[:10])}{more}")
    return payees


def checked_iban(text: str) -> str:
    """An IBAN in its electronic form. Raises `InputError` where its check digits are wrong."""
    try:
        return str(IBAN(text).compact)
    except SchwiftyException as error:
        raise InputError(f"{text!r} is no IBAN ({error})") from None
