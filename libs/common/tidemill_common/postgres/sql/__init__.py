"""Tables that every schema has: outbox, inbox, positions."""
