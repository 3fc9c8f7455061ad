"""Getting data, training, tracking and the verbs of the command line."""
