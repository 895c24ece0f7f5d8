"""The process: sockets, signals, the drain, and the limits of HTTP itself.

It receives ASGI applications and values, and knows neither routes nor settings. `process.serve` is the way in;
`signals` imports nothing heavy, so that it can be called before everything else.
"""
