"""Real servers, started on a free port of the loopback interface and ended with all they started.

``kinds`` knows what runs requests at once and which strategies isolate them there,
``catalogue`` how each server is started, ``launch`` starts those that have no command line,
and ``process`` looks after the process.
"""
