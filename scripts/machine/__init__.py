"""What a checkout needs from the machine it is on: one part per module, looked for first and then provided.

Standard library only, and parseable by Python 3.8: it runs before anything is installed.
"""
