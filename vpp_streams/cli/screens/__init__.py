"""What commands print: results as tables and sentences for a terminal, or as a page."""
