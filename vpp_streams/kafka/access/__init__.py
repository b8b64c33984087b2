"""Who may do what in Kafka: a principal for each role, its ACLs and its quota."""
