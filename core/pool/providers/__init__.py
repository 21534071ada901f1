"""Adapters for suppliers' wire formats: a call in, events of an answer out, faults by what the pool
does about them.
"""
