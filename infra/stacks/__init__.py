"""Three stacks: what must survive (storage), what is always on (backup), what runs when asked (operations)."""
