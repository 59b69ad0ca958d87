"""What `minicaffe inspect` shows: a net from its prototxt's lines down to machine instructions.

facts.py    the data, as frozen dataclasses that turn into JSON; kernels fill some of them too
as_json.py  from dataclasses to JSON and back, checked
"""
