"""The ``tav`` command line: settings, a session on one clip, and what each command does with it."""
