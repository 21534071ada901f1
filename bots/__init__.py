"""Everything a person touches: commands, chat platforms, the console, the web app, the CLI."""
