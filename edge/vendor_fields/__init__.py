"""What the fields of vendors' documents mean: each rule once, for a home and for the cloud.

A driver reads an inverter's local interface, and a normaliser reads the same document that a device
has sent. Pure functions of decoded documents, which may hold anything; they never raise.
"""
