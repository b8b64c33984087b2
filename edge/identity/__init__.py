"""Who a home is to its gateway: a token, or a certificate that it enrols for and renews."""
