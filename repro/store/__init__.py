"""Trial configs, keys, records and the files that hold them. Imports neither torch nor pandas."""
