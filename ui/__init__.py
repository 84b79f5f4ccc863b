"""The two front doors: the command line and the page. Only here are errors caught and shown."""
