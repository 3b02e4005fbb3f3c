"""A local page to try a pipeline: `app.py` is the page, `reading.py` what it shows, `launch.py` starts it."""
