"""How every process uses Kafka: clients created in one place, one way in and one way out."""
