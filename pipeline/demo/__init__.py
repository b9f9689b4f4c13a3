"""The whole loop on one machine: the commands a person would type, in order, timed and checked."""
