"""What spark-submit runs: `spark-submit [its flags] minicaffe_submit.py [our flags]`."""

from minicaffe.distributed.spark.submit import main

if __name__ == "__main__":
    raise SystemExit(main())
