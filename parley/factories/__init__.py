"""Objects made of the settings: upstream, encoders and index, voice."""
