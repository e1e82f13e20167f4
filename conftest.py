"""What every test of the repository shares: how hypothesis looks for counterexamples."""

from hypothesis import settings

# A busy machine is no failure: the limit per test is pytest's timeout.
settings.register_profile("tidemill", deadline=None, print_blob=True)
settings.load_profile("tidemill")
