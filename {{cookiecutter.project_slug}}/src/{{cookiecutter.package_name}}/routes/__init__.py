"""Method and path to controller, and nothing else."""
