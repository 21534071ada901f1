"""Files that people send: what is in them, read where a file that lies can do no harm."""
