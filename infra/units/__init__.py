"""One construct per unit. Each exposes what others may use; who may do what is granted in the stacks."""
