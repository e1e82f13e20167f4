"""Migrations of the schema `training`; `queries` holds its statements."""
