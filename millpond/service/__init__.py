"""What entry points share: settings made into something that runs, in one process or in several."""
