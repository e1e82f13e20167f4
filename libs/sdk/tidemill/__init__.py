"""Tidemill for its users: clients, project files, the command line and the generated messages."""
