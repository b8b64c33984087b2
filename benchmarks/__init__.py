"""How fast, how large, how exact: each file measures one thing and prints one table."""
