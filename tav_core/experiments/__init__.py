"""Many runs with one table at the end: the ablation of the paper, and sweeps over configurations."""
