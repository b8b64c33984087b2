"""A payout as an ISO 20022 credit transfer, ``pain.001.001.09``, the file that banks take.

The elements are in the order of the schema. The identifiers follow from the payout's, so that a
bank recognizes a file that it receives twice.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from xml.etree import ElementTree as ET

from vpp_streams.domain.ledger.payouts import Payee

SCHEMA = "pain.001.001.09"
_NAMESPACE = f"urn:iso:std:iso:20022:tech:xsd:{SCHEMA}"
MAX_NAME = 70
MAX_ID = 35
_BANK_ID = re.compile(r"^[A-Za-z0-9?:().,'+ -]+$")
"""Characters of identifiers that every bank accepts (SEPA's Latin set, without the slash)."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A payment to one owner."""

    payee: Payee
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFile:
    """What the file says beside its transfers."""

    payout_id: str
    debtor_name: str
    """Who pays."""
    debtor_iban: str
    currency: str
    decimals: int
    """Decimals of the currency's minor unit."""
    created: datetime
    """UTC."""
    execute_on: date
    remittance: str
    """What owners read on their bank statement."""


def amount_text(amount_minor: int, decimals: int) -> str:
    """An amount of minor units in units of the currency, for example ``12.34``."""
    return f"{Decimal(amount_minor).scaleb(-decimals):.{decimals}f}"


def end_to_end_id(site_id: str) -> str:
    """The identifier of a site's transfer: its id, or a digest where a bank would refuse that."""
    if len(site_id) <= MAX_ID and _BANK_ID.match(site_id):
        return site_id
    return hashlib.sha256(site_id.encode()).hexdigest()[:MAX_ID]


def pain001(file: TransferFile, transfers: Sequence[Transfer]) -> bytes:
    """The XML document."""
    total = amount_text(sum(t.amount_minor for t in transfers), file.decimals)
    document = ET.Element("Document", {"xmlns": _NAMESPACE})
    root = ET.SubElement(document, "CstmrCdtTrfInitn")
    header = ET.SubElement(root, "GrpHdr")
    _add(header, "MsgId", file.payout_id[:MAX_ID])
    _add(header, "CreDtTm", file.created.strftime("%Y-%m-%dT%H:%M:%SZ"))
    _add(header, "NbOfTxs", str(len(transfers)))
    _add(header, "CtrlSum", total)
    _add(header, "InitgPty/Nm", file.debtor_name[:MAX_NAME])
    payment = ET.SubElement(root, "PmtInf")
    _add(payment, "PmtInfId", file.payout_id[:MAX_ID])
    _add(payment, "PmtMtd", "TRF")
    _add(payment, "BtchBookg", "true")
    _add(payment, "NbOfTxs", str(len(transfers)))
    _add(payment, "CtrlSum", total)
    if file.currency == "EUR":
        _add(payment, "PmtTpInf/SvcLvl/Cd", "SEPA")
    _add(payment, "ReqdExctnDt/Dt", file.execute_on.isoformat())
    _add(payment, "Dbtr/Nm", file.debtor_name[:MAX_NAME])
    _add(payment, "DbtrAcct/Id/IBAN", file.debtor_iban)
    _add(payment, "DbtrAgt/FinInstnId/Othr/Id", "NOTPROVIDED")
    _add(payment, "ChrgBr", "SLEV")
    for transfer in transfers:
        _add_transfer(payment, file, transfer)
    ET.indent(document)
    xml: bytes = ET.tostring(document, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _add_transfer(payment: ET.Element, file: TransferFile, transfer: Transfer) -> None:
    one = ET.SubElement(payment, "CdtTrfTxInf")
    _add(one, "PmtId/EndToEndId", end_to_end_id(transfer.payee.site_id))
    amount = _add(one, "Amt/InstdAmt", amount_text(transfer.amount_minor, file.decimals))
    amount.set("Ccy", file.currency)
    _add(one, "Cdtr/Nm", transfer.payee.name[:MAX_NAME])
    _add(one, "CdtrAcct/Id/IBAN", transfer.payee.iban)
    _add(one, "RmtInf/Ustrd", file.remittance[:140])


def _add(parent: ET.Element, path: str, text: str) -> ET.Element:
    """Add elements along a path, the last one with a text."""
    for name in path.split("/"):
        parent = ET.SubElement(parent, name)
    parent.text = text
    return parent
