"""The edge of Tidemill: validate events, batch them, append them durably."""
