"""What `minicaffe inspect` shows: a net from its prototxt's lines down to machine instructions.

facts.py    the data, as frozen dataclasses that turn into JSON; kernels fill some of them too
as_json.py  from dataclasses to JSON and back, checked

page.py        the page: one HTML file; templates/ has its styles and scripts
highlighting.py, roofline_picture.py    parts of it
ring_view.py   the same for the ring, a picture a step
ring_record.py what the installed ring does, written down
"""
