"""What the operator decides: settings from the environment, and how log lines look."""
