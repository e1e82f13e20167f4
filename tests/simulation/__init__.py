"""The partition worker without I/O: its real code over a broker in memory, at any crash point."""
