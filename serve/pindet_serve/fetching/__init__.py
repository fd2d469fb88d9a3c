"""Images by URL, where that is turned on: from listed hosts only, and never from where no one meant to look."""
