"""The runnable processes and the command line."""
