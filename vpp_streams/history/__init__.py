"""History: windows, market and control records in Parquet for years, and reports on them."""
