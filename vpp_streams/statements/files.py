"""A statement in the formats that people take away: JSON, CSV and PDF."""

import csv
import io
from typing import Literal

import msgspec

from vpp_streams.domain.statements.document import StatementDocument
from vpp_streams.domain.statements.table import table_of

Format = Literal["json", "csv", "pdf"]
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "pdf": "application/pdf",
}


def file_of(document: StatementDocument, format_: Format) -> bytes:
    """The statement in a format."""
    match format_:
        case "json":
            return msgspec.json.encode(document)
        case "csv":
            text = io.StringIO(newline="")
            csv.writer(text).writerows(table_of(document))
            return text.getvalue().encode()
        case "pdf":
            # Fonts take a moment to load; who asks for JSON does not wait for them.
            from vpp_streams.statements.pdf import pdf_of  # noqa: PLC0415  # as above

            return pdf_of(document)


def file_name(document: StatementDocument, format_: Format) -> str:
    """The name of the file, for example ``statement-home-0001-2026-11.pdf``."""
    safe = "".join(c if c.isalnum() or c in "._-" else "-" for c in document.site_id)
    return f"statement-{safe}-{document.month}.{format_}"
