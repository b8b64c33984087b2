"""Identity of devices: the authority's files, the enrolment server, and a device's side of it."""
