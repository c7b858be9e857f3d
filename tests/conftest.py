"""For all tests. `--hypothesis-profile quick` draws few examples, for `make quick`."""

import hypothesis

hypothesis.settings.register_profile("quick", max_examples=10)
