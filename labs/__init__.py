"""Course labs: a student's file takes the product's place, and the product's tests grade it.

course.py    what a lab is, read from its lab.toml
release.py   the student's files: the product's, with the bodies of some functions cut out
folder.py    the student's folder: what lab start puts there, and what is written by now
grading.py   the tests of a task in a child process, and what they say, in one sentence
plugin.py    what those tests have from us: fixtures, comparisons, the record that grading reads
commands/    minicaffe lab COMMAND, one file each
<lab>/       lab.toml, README.md (the handout), tests/, nets/, given/, solution/
"""
