"""The subcommands of ``tav``, a module each: its arguments, and a ``run`` that hands the work to the core.

Importing one must cost nothing: what stands on torch is imported within ``run``.
"""
