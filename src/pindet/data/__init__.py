"""From a labelled folder to prepared data: sources, cleaning, splits and shards.

A source (:mod:`.voc`, :mod:`.coco`, :mod:`.yolo`) yields items and rejections; :func:`.prepare.prepare` cleans
each item, gives it a split by its content and writes shards whose bytes depend only on content and options.
"""
