"""Identity of devices: the certificate authority, one-time codes, renewal and revocation."""
