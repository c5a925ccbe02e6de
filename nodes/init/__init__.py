"""From what a machine has to a first deployment file, for ``fusewatch init``."""
