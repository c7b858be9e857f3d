"""`flask doctor` and `flask chat`: the way from a caller to the model, tried step by step; off the serving path."""
