"""What a release changes, step by step, in this order: objects, tags, card, MLflow, release file, event."""
