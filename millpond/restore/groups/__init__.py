"""Where consumer groups stood, told to the topics that a restore wrote: source offsets become target offsets."""
