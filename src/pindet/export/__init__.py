"""From a trained model to the bundle that is served, and the proof that the two agree."""
