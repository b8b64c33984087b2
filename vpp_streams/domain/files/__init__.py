"""Files that people bring: prices, homes, assets, recordings."""
