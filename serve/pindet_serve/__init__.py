"""The detector runtime: loads an exported bundle, proves it, and answers with it.

It needs numpy, OpenCV and ONNX Runtime; nothing of the training side.
"""

import os

# OpenCV reads its limit once, when it is first imported, which is after this.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))
