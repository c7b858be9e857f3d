"""What is heard: recordings, the simulated utterance in their place, and their pace. No HTTP, no settings."""
