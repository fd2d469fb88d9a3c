"""``pindet predict``: a bundle on files, folders, globs and videos. Needs the serving package, and no training library."""
