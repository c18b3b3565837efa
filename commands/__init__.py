"""The commands of the command line, a module for each group; `journeycast.py` registers them."""
