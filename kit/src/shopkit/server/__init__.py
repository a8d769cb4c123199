"""Everything of the kit that serves HTTP under gunicorn and rests on private names of other packages."""
