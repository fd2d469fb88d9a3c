"""Reproducible object detection, pinned from the data to the served prediction."""
