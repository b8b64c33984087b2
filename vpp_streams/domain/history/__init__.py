"""History on disk: kinds of records, days, files, periods and reports."""
