"""An approved payout as files for the bank."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sepaxml.validation import ValidationError, try_valid_xml
from text_unidecode import unidecode

from vpp_streams.domain.ledger.pain001 import (
    SCHEMA,
    Transfer,
    TransferFile,
    amount_text,
    end_to_end_id,
    pain001,
)
from vpp_streams.domain.ledger.payouts import Payee, payees_digest
from vpp_streams.errors import InputError, LedgerError
from vpp_streams.process.private_files import write_private
from vpp_streams.settlement.database import plain_errors
from vpp_streams.settlement.payouts import decimals_of, lines_of
from vpp_streams.settlement.tables import PAYOUTS


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutFiles:
    """What to write, and who pays."""

    xml: Path | None
    csv: Path | None
    debtor_name: str
    debtor_iban: str
    execute_on: date


def export_payout(
    engine: sa.Engine, payout_id: str, payees: Mapping[str, Payee], files: PayoutFiles
) -> int:
    """Write an approved payout; returns the number of transfers.

    Raises `LedgerError` where it is not approved or its schema refuses the file, and `InputError`
    where the bank accounts are not those that were approved.
    """
    with plain_errors(engine), engine.connect() as connection:
        row = connection.execute(
            sa.select(PAYOUTS).where(PAYOUTS.c.payout_id == payout_id)
        ).one_or_none()
        lines = lines_of(connection, payout_id)
    if row is None:
        raise LedgerError(f"there is no payout {payout_id}; `vpp payout list` shows them")
    if row.approved_by is None:
        raise LedgerError(f"{payout_id} waits for a second person: `vpp payout approve`")
    missing = [site for site in lines if site not in payees]
    paid = [payees[site] for site in lines if site in payees]
    if missing or payees_digest(paid) != row.payees_sha256:
        raise InputError(
            "the bank accounts are not those that were approved"
            + (f" ({missing[0]} is missing)" if missing else "")
            + "; use the file that the payout was proposed with"
        )
    transfers = [Transfer(payees[site], amount) for site, amount in lines.items()]
    file = _transfer_file(row, files)
    if files.xml is not None:
        xml = pain001(file, transfers)
        try:
            try_valid_xml(xml, SCHEMA)
        except ValidationError as error:
            raise LedgerError(f"{SCHEMA} refuses the file: {error.__cause__}"[:500]) from None
        write_private(files.xml.absolute(), xml)
    if files.csv is not None:
        write_private(files.csv.absolute(), _as_csv(file, transfers))
    return len(transfers)


def _transfer_file(row: sa.Row[Any], files: PayoutFiles) -> TransferFile:
    return TransferFile(
        payout_id=row.payout_id,
        debtor_name=unidecode(files.debtor_name),
        debtor_iban=files.debtor_iban,
        currency=row.currency,
        decimals=decimals_of(row.currency),
        created=datetime.fromtimestamp(row.approved_at_ms // 1000, UTC),
        execute_on=files.execute_on,
        remittance=f"Virtual power plant {row.period}",
    )


def _as_csv(file: TransferFile, transfers: list[Transfer]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["site_id", "name", "iban", "amount", "currency", "reference"])
    for t in transfers:
        amount = amount_text(t.amount_minor, file.decimals)
        reference = f"{file.payout_id} {end_to_end_id(t.payee.site_id)}"
        payee = t.payee
        writer.writerow([payee.site_id, payee.name, payee.iban, amount, file.currency, reference])
    return text.getvalue().encode()
