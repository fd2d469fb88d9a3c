"""Training with Lightning: settings, samples whose randomness is keyed, the loop's shell and its resume state."""
