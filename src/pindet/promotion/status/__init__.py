"""Where things stand, on one screen."""
