"""What the records of a foreign topic hold, as expressions see it: typed columns by path."""
