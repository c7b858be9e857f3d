"""What only operators run, by `flask kb` and `flask audio`: off the serving path."""
