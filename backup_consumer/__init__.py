"""The ECS service's entry point: settings from the environment, signals, exit code."""
