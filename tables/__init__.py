"""Columnar tables on Faust tables: hot state as numpy columns, kept safe in a changelog."""
