"""The owner's desk: reports and what they ask for, grants, the log of what admins did."""
