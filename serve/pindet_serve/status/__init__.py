"""The status bus: what replicas, training and releases say, and the feed that tells clients."""
