"""The walk from a served answer back to the data, with a check at every step."""
