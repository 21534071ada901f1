"""Audio: how long a file is, counted by its frames, in a process of its own."""
