"""What is known of sites and devices before they report: ratings, limits, names."""
