"""PostgreSQL behind training: runs and their queue, decisions and what policies remember."""
