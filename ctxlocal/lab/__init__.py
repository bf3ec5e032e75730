"""The instruments: what shows isolation, loads servers and measures."""
