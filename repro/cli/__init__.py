"""The command line: one small file per verb, which parses, calls and prints."""
