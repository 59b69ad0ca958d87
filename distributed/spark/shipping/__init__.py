"""What travels to the executors.

package_code.py    minicaffe itself, and the folders of MINICAFFE_PATH
user_code.py       the modules of Python layers and data sources, for one job
shipped_files.py   what spark-submit --files ships
"""
