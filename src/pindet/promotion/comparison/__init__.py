"""Two models on the same test images: average precision, and how sure its difference is."""
