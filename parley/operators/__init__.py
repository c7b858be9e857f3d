"""The operator's tools behind `flask kb` and `flask audio`, off the serving path."""
