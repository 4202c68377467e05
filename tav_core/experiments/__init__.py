"""Run many configurations into one table: the paper's ablation, and sweeps."""
