"""Tables, and shapes on the wire. A leaf: any layer may import it, and it decides nothing."""
