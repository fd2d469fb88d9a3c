"""Work in the background: a video or an archive of images, frame by frame, kept on disk until it is fetched."""
