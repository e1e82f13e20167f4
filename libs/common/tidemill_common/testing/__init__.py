"""What tests of services may use: a clock that stands still and the fixtures of the plugin."""
