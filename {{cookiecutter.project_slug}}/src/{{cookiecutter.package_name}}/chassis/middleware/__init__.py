"""The layers around the router, outermost first.

    Observation      request id, headers of every answer, metrics, access line
    (proxy headers)  the client's address and scheme, from TRUSTED_PROXIES alone
    (Cors)           only when CORS_ORIGINS is set; leaves a preflight to another's host to AllowedHosts
    Errors           every exception becomes one problem document
    (AllowedHosts)   only when ALLOWED_HOSTS is set
    (RateLimited)    429; only when RATE_LIMIT_PER_MINUTE is not 0
    BodyLimit        413
    RequestTimeout   503

The operations application (health and metrics on a listener of their own) has the first and the errors alone.
"""
