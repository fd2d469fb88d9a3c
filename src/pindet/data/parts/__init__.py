"""The embedded data set: machine parts on a conveyor, rendered with numpy and OpenCV.

An image is a function of (seed, split, number) alone. This folder is the root of the data set: its code is what the
prepared images depend on.
"""
