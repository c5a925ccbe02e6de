"""One file per subcommand of ``fusewatch``."""
