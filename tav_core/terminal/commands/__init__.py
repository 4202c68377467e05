"""Define the subcommands of ``tav``, a module each: its arguments, and a ``run`` that calls the core.

Importing one must be cheap: whatever imports torch is imported within ``run``.
"""
