"""``pindet predict``: a bundle on files, folders, globs and videos, with the serving package alone."""
