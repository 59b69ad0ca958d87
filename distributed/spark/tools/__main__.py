"""python -m minicaffe.distributed.spark.tools TOOL -option VALUE ..."""

from .tool import main

if __name__ == "__main__":
    raise SystemExit(main())
