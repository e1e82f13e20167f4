"""The pure feature engine of Tidemill: tiles, merges, windows and the codec of the feature log."""
