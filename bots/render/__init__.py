"""How an answer is shown anywhere: throttling, splitting, queues, secrets known by shape, split
pastes.

Adapters take what is said here about text and time, and add only their platform's calls.
"""
