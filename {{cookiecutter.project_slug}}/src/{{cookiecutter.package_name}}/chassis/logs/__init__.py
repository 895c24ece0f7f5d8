"""Log lines: their shape, masking and bounds, and the thread that writes them."""
