"""What leaves the process beside the answers: log lines and metrics, without secrets."""
