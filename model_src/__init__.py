"""What a model team owns: the contract of a model, and the programs `train`, `evaluate` and `serve`."""
