"""Random programs, run on both twins and on what they stand in for."""
