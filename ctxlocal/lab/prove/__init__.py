"""A report of what was measured, in one HTML file.

``parts`` measures, ``document`` judges, ``page`` writes the file and ``summary`` what the terminal
shows.
"""
