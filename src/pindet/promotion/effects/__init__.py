"""What a release changes, step by step, in this order: objects, tags, MLflow, release file, event, card."""
