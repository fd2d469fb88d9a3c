"""The detector runtime: loads an exported bundle, proves it, and answers with it.

It needs numpy, OpenCV and ONNX Runtime; nothing of the training side.
"""
