"""What every Tidemill service needs and none owns; the README beside lists every face."""
