"""What tests share: worlds to act in, factories of records, places of data."""
