"""Speed, size and accuracy: each file measures one thing and prints one table."""
