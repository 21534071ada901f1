"""A year of the economy, played on the real core and ledger: honest people, contributors, and
whoever tries to get more out than was put in. See `benchmarks.economy.farmers` for what each tries.

    python -m benchmarks.economy                  20 seeds of each profile, and each guard off
    python -m benchmarks.economy --seeds 1 --months 6
"""
