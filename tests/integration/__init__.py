"""One file per promise to a user, on the real parts."""
