"""A small page of facts, made by hand: names that look like markup, and what may be missing."""

from minicaffe.inspection import facts as f
from minicaffe.inspection import net_facts as n

NASTY = "</script><img src=x onerror=alert(1)>&\"'"

PROTOTXT = f"""name: "sample"  # a comment
layer {{
  name: "data"
  type: "DummyData"
  top: "data"
}}
layer {{
  name: '{NASTY.replace("'", '"')}'
  type: "ReLU"
  bottom: "data"
  top: "out"
  relu_param {{ negative_slope: 0.1 }}
}}
"""

KERNEL = '''"""ReLU on the CPU."""


def rectified(value, slope):
    return value if value > 0 else slope * value


def _rectify(x, y, slope):
    """y = max(x, 0) + slope min(x, 0)."""
    for i in range(x.size):
        y[i] = rectified(x[i], slope)
'''

LAYER = '"""The layer."""\n\nclass ReLU:\n    """y = max(x, 0)"""\n'
FILE = "kernels/cpu/relu.py"
KEY = "cpu:relu._rectify:1"


def rows(count: int = 12) -> tuple[f.Row, ...]:
    """Machine code of `_rectify`; `count` of its rows repeat."""
    body = (
        f.Row("vmovups ymm0, ymmword ptr [rsi + rax]", FILE, 11, "memory", 0, "loads 8 floats"),
        f.Row("vmulps ymm1, ymm0, ymm2", FILE, 5, "vector", 0, NASTY),
        f.Row("add rax, 32", FILE, 10, "address", 0, "the next 32 bytes"),
    )
    many = tuple(body[number % 3] for number in range(count))
    return (
        f.Row("xor eax, eax", FILE, 8, "other"), f.Row(".L1:", "", 0, "label", 0), *many,
        f.Row("jne .L1", FILE, 10, "branch", 0, "back to .L1"), f.Row("ret", FILE, 11, "branch"),
    )  # fmt: skip


def listing(count: int = 12) -> f.Listing:
    """`_rectify` as machine code, and why there is no LLVM IR."""
    loop = f.Loop(0, 1, -1, 1, count + 2, {"instructions": count + 1, "vector": count // 3,
                                           "multiply-add": 0, "memory": count // 3,
                                           "stack": 0})  # fmt: skip
    asm = f.Form(
        "machine code (Intel)", rows(count), (f.Function("_rectify", 0, count + 3),), (loop,)
    )
    llvm = f.Form("LLVM IR", (), missing="kept without text: inspect with an empty cache")
    signature = "(float32[::1], float32[::1], float32)"
    return f.Listing("cpu", "relu._rectify", signature, FILE, 8, 11, {"asm": asm, "llvm": llvm})


def stats() -> f.Stats:
    return f.Stats(0.25, 1.5, 0.5, 0.0, f.Histogram(-1.0, 4.0, (3, 9, 4, 1, 0, 2)))


def call(device: str, pass_: f.Pass = "forward") -> f.Call:
    arguments = ("x (2, 3) float32", "y (2, 3) float32", f"slope {NASTY}")
    kernels = (f.Kernel(KEY, "relu._rectify", 0.25, "1 thread"),) if device == "cpu" else ()
    missing = "" if kernels else "NumPy runs it whole"
    return f.Call(
        pass_, device, "relu", "forward", FILE, 8, arguments, 0.31, kernels, missing
    )  # fmt: skip


def layers() -> tuple[f.Layer, ...]:
    """A layer of data and one of a strange name, and one that the net has put in."""

    def layer(name: str, kind: str, first: int, last: int, **more: object) -> f.Layer:
        settings: dict[str, object] = {
            "inserted": False, "bottoms": (), "tops": ("data",),
            "doc": f"{kind}: {NASTY}\n\n    y = x",
            "file": "layers/relu.py", "first_line": 3, "last_line": 4, "families": (), "params": (),
            "blobs": (f.Array("data", (2, 3), stats()),), "flops": f.Passes(0, 0),
            "bytes": f.Passes(24, 24), "ms": f.Passes(0.1, 0.2), "gflops": 0.0,
            "share_of_roof": 0.0, "bound_by": "",
        }  # fmt: skip
        return f.Layer(name, kind, first, last, **(settings | more))  # type: ignore[arg-type]

    relu = layer(
        NASTY, "ReLU", 7, 13, bottoms=("data",), tops=("out",), families=("relu",),
        params=(f.Array("slope", (1,), stats(), stats()),), flops=f.Passes(6, 12), gflops=0.02,
        share_of_roof=0.4, bound_by="memory", calls=(call("cpu"), call("reference")),
        missing={"cuda": "no compiler: pip install 'minicaffe[cuda-emu]'"}, fused="group",
    )  # fmt: skip
    split = layer("data_split", "Split", 0, 0, inserted=True, bottoms=("data",), tops=("a", "b"))
    return layer("data", "DummyData", 2, 6), relu, split


def page(count: int = 12) -> f.Page:
    """The page; its listing has `count` rows and four more."""
    made = f.Made(
        "0.1", "a processor", "avx2", 1, "cpu", ("reference", "cpu", "cuda"), "TRAIN", 3,
        missing={"cuda": "not installed"}, notes=("Data layers are dummies.",),
    )  # fmt: skip
    boxes = (
        n.Box("d", "layer", "data", ("data", "(DummyData)"), 2.0, 0.3, 1.2, 0.6),
        n.Box("b", "blob", "data", ("data",), 2.0, 1.3, 0.6, 0.4),
        n.Box("r", "layer", NASTY, (NASTY, "(ReLU)"), 2.0, 2.4, 3.6, 0.6),
    )
    edges = (
        n.Edge("d", "b", "2 x 3", ((2.0, 0.6), (2.0, 1.1)), 2.05, 1.0),
        n.Edge("b", "r", "", ((2.0, 1.5), (2.0, 2.1)), 2.05, 2.0),
    )
    graph = n.Graph(4.0, 2.8, boxes, edges)
    lives = (n.Life(("data",), 0, 1, 24, 0), n.Life(("out",), 1, 2, 24, -1))
    plan = n.MemoryPlan(72, 48, (24, 24), lives)
    points = (n.Point(NASTY, "forward", 0.125, 0.9), n.Point(NASTY, "backward", 0.2, 1.1))
    group = f.FusedGroup("group", ("data", NASTY), "relu", "layers/fused/x.py", (call("cpu"),))
    picture = f.Picture(NASTY, f"maps of {NASTY}", PNG)
    update = f.Call("update", "cpu", "sgd", "update", FILE, 8, ("w (7,) float32",), 0.05)
    return f.Page(
        made, f.Prototxt("nets/sample.prototxt", PROTOTXT), {FILE: KERNEL, "layers/relu.py": LAYER},
        layers(), {KEY: listing(count)}, graph, plan, (group,), n.Roofline(100.0, 12.0, points),
        (picture,), (update,),
    )  # fmt: skip


# One grey pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
