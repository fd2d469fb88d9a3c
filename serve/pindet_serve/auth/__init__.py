"""Sign-in: users, passwords, tokens, tickets, roles."""
