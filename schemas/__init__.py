"""The contracts of the topics and of the device protocol."""
