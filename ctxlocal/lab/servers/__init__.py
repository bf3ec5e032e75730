"""Real servers, started on a free port of the loopback interface and ended with all they started.

``catalogue`` knows how each is started and which strategies isolate requests there,
``launch`` starts those that have no command line, and ``process`` looks after the process.
"""
