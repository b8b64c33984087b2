"""The role as a process, on a real Kafka: each record once, whatever is killed."""



