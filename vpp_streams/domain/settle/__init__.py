"""Settlement: what each site delivered, what it is owed, and the entries that say so."""
