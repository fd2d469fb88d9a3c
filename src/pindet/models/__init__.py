"""Detectors in plain torch, one contract (:mod:`.contract`), and what turns their answers into detections."""
