"""What the Makefile does to projects that were made before."""
