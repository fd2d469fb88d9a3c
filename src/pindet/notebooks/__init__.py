"""What the notebooks share: the project, a plain word where it has nothing to show, lettering, a server to ask."""
