"""How good a detector is: COCO metrics, the operating point, errors, and one report that people can read.

Everything here works on ``(split, detections)`` with numpy alone; which model answered does not matter.
"""
