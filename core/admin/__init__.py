"""Administration: reports, advice, alerts, broadcasts, user search, erasure."""
