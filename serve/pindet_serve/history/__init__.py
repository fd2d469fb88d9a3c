"""What was detected and who did what: written aside, kept for a while, in SQLite or PostgreSQL."""
