"""A report as JSON, CSV or Parquet. Not measured is null: in CSV, an empty cell."""

from io import BytesIO
from typing import Any, Literal, get_args

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from vpp_streams.domain.history.periods import label
from vpp_streams.history.reports import Answer

Format = Literal["json", "csv", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}


class ColumnView(msgspec.Struct, frozen=True):
    """A column of a report."""

    name: str
    about: str
    unit: str
    """"" = none, or text."""


class ReportView(msgspec.Struct, frozen=True, kw_only=True):
    """A report: periods by region, site or market. Null = not measured, or not known."""

    report: str
    about: str
    from_ms: int
    to_ms: int
    group: str
    tz: str
    complete_until_ms: int
    """Everything that was published before is in history; 0 = not known."""
    columns: list[ColumnView]
    rows: list[dict[str, Any]]


def view_of(answer: Answer) -> ReportView:
    """The report as a document."""
    question = answer.question
    return ReportView(
        report=question.report,
        about=question.about,
        from_ms=question.from_ms,
        to_ms=question.to_ms,
        group=question.group,
        tz=question.zone.key,
        complete_until_ms=answer.complete_until_ms,
        columns=[ColumnView(c.name, c.about, c.unit) for c in question.columns],
        rows=answer.rows.to_pylist(),
    )


def encoded(answer: Answer, format_: Format) -> bytes:
    """The report in a format."""
    if format_ == "json":
        return msgspec.json.encode(view_of(answer))
    file = BytesIO()
    if format_ == "csv":
        pa.csv.write_csv(answer.rows, file)
        return file.getvalue()
    described = [
        answer.rows.schema.field(c.name).with_metadata({"about": c.about, "unit": c.unit})
        for c in answer.question.columns
    ]
    schema = pa.schema(
        described, {"report": answer.question.report, "tz": answer.question.zone.key}
    )
    pq.write_table(answer.rows.cast(schema), file, compression="zstd")
    return file.getvalue()


def file_name(answer: Answer, format_: Format) -> str:
    """A name for the report's file: report, first day, end and group."""
    question = answer.question
    days = "-".join(label(at, question.zone)[:10] for at in (question.from_ms, question.to_ms - 1))
    return f"{question.report}-{days}-{question.group}.{format_}"
