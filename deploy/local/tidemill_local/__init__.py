"""Install the parts Tidemill stands on and run the whole stack on this machine."""
