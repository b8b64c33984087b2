"""Terms, entries of the ledger, and what was decided about them."""

import pyarrow as pa

from schemas.ledger import LedgerDecision, PayoutApproved, PayoutPart, PeriodClosed
from schemas.programs import Enrolment, OptOut, Program, Tariff
from vpp_streams.kafka.topic import Key, Topic

SETTLEMENT_ENTRIES = Topic[pa.RecordBatch](
    "settlement.entries",
    "who owes whom how much, and why: one Arrow IPC stream of one batch of settlement_entry.v1 per"
    " record; entries of sites are in their sites' partition. It is kept for ever: the ledger is"
    " built from it",
    "entries",
    Key("region", lambda batch: batch.column("region")[0].as_py()),
    partition="chosen",
    retention_ms=-1,
)


def _decision_key(record: LedgerDecision) -> str:
    match record:
        case PeriodClosed():
            return record.period
        case PayoutPart():
            return f"{record.payout_id}:{record.part}"
        case PayoutApproved():
            return f"{record.payout_id}:approved"
        case _:
            return record.payout_id


LEDGER_DECISIONS = Topic[LedgerDecision](
    "ledger.decisions",
    "closed months and payouts: who decided what and when, which the ledger's database is built"
    " from; kept for ever",
    LedgerDecision,
    Key("period; or payout_id, with its part or :approved", _decision_key),
    partitions=1,
    partition="single",
    retention_ms=-1,
)
PROGRAMS = Topic[Program](
    "programs",
    "terms that owners are paid by",
    Program,
    Key("program_id:version", lambda program: f"{program.program_id}:{program.version}"),
    partitions=1,
    partition="single",
    keep="compact",
)
ENROLMENTS = Topic[Enrolment](
    "enrolments",
    "which site takes part in which program, and what its owner pays for energy",
    Enrolment,
    Key("site_id:effective_from_ms", lambda one: f"{one.site_id}:{one.effective_from_ms}"),
    keep="compact",
)
OPT_OUTS = Topic[OptOut](
    "opt.outs",
    "when owners take no part in events, as their preferences said at the time",
    OptOut,
    Key(
        "site_id, and request_id or from_ms",
        lambda one: f"{one.site_id}:{one.request_id or one.from_ms}",
    ),
    keep="compact",
)
TARIFFS = Topic[Tariff](
    "tariffs",
    "what homes pay for energy, and are paid for it",
    Tariff,
    Key("tariff_id:version", lambda tariff: f"{tariff.tariff_id}:{tariff.version}"),
    partitions=1,
    partition="single",
    keep="compact",
)
