"""Running trials in worker processes on this machine."""
