"""Each command, written once for every platform: Request → Reply, or an ask that runs."""
