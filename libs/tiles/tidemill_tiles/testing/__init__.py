"""For tests only: a naive oracle of the engine, and builders of views and events."""
