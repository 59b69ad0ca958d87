"""Names that published scripts take from pycaffe, its private ones too."""

import importlib
import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

import minicaffe as caffe
from minicaffe import layers as L
from minicaffe.errors import DataError, Error, MissingExtra
from minicaffe.proto import minicaffe_pb2 as pb

PNG = cv2.imencode(".png", np.full((4, 5, 3), 51, np.uint8))[1].tobytes()


@pytest.fixture
def net(tmp_path: Path) -> caffe.Net:
    (tmp_path / "n.prototxt").write_text(
        'input: "x" input_shape { dim: 3 dim: 2 }'
        ' layer { name: "r" type: "ReLU" bottom: "x" top: "r" }'
        ' layer { name: "l" type: "Reduction" bottom: "r" top: "l" loss_weight: 2 }'
    )
    return caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST, device="reference")


def test_blobs_by_index(net: caffe.Net) -> None:
    assert isinstance(net._blobs, list)
    assert net._blobs[net._top_ids(1)[0]] is net.blobs["r"]
    assert net._blobs[net._bottom_ids(1)[0]] is net.blobs["x"]
    assert [net._blob_names[i] for i in net._inputs] == ["x"]
    assert net._blob_loss_weights == [0, 0, 2]


def test_batches_are_as_long_as_the_input(net: caffe.Net) -> None:
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    one, two = net._batch({"x": x})
    np.testing.assert_array_equal(one["x"], x[:3])
    np.testing.assert_array_equal(two["x"], np.concatenate([x[3:], [[0, 0]]]))


def test_the_compiled_module() -> None:
    compiled = importlib.import_module("minicaffe._caffe")
    assert compiled is caffe._caffe
    assert compiled.Layer is caffe.Layer
    assert compiled.layer_type_list() == caffe.layer_type_list()
    assert (compiled.Net, compiled.SGDSolver) == (caffe.Net, caffe.SGDSolver)
    blobs = compiled.RawBlobVec()
    blobs.add_blob(2, 3)
    assert blobs[0].shape == (2, 3)
    assert caffe.pycaffe.Net is caffe.Net
    with pytest.raises(AttributeError, match="gone"):
        _ = compiled.gone


def test_the_class_nccl_is_a_name_alone() -> None:
    for use in (lambda: caffe.NCCL(None, ""), caffe.NCCL.new_uid):
        with pytest.raises(Error, match="no NCCL here"):
            use()


def test_names_of_net_spec() -> None:
    names = caffe.net_spec.param_name_dict()
    assert names["Convolution"] == "convolution"
    assert names["InnerProduct"] == "inner_product"
    assert names["PReLU"] == "prelu"
    layer = pb.LayerParameter()
    caffe.net_spec.assign_proto(layer, "convolution_param", {"kernel_size": [3], "num_output": 4})
    caffe.net_spec.assign_proto(layer, "bottom", ["a", "b"])
    assert layer.convolution_param.kernel_size == [3]
    assert (layer.convolution_param.num_output, list(layer.bottom)) == (4, ["a", "b"])
    data, label = L.Data(source="x", ntop=2)
    assert (data.fn.type_name, data.n, label.n) == ("Data", 0, 1)
    assert label.fn is data.fn
    assert data.fn.params["source"] == "x"


def test_helpers_of_draw() -> None:
    layer = pb.LayerParameter(name="c", type="Convolution")
    layer.convolution_param.num_output = 7
    layer.convolution_param.kernel_size.append(3)
    assert caffe.draw.get_layer_label(layer, "TB") == (
        "c (Convolution) kernel size: 3 stride: 1 pad: 0"
    )
    assert caffe.draw.get_layer_label(layer, "LR", True).split(r"\n")[-1] == "lr mult: 1.0"
    assert caffe.draw.get_edge_label(layer) == "7"
    assert caffe.draw.get_pooling_types_dict()[1] == "AVE"
    assert caffe.draw.choose_color_by_layertype("Convolution") == "#FF5050"
    assert caffe.draw.choose_color_by_layertype("ReLU") == "#6495ED"


class _Serves(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/p.png" else 404)
        self.end_headers()
        self.wfile.write(PNG if self.path == "/p.png" else b"")

    def log_message(self, *args: object) -> None:
        """Nobody reads it."""


def test_pictures_come_from_open_files_and_addresses_too(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(PNG)
    with HTTPServer(("127.0.0.1", 0), _Serves) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        with open(tmp_path / "p.png", "rb") as file:
            sources = (io.BytesIO(PNG), file, f"{base}/p.png", f"file://{tmp_path}/p.png")
            for source in (*sources, tmp_path / "p.png"):
                np.testing.assert_allclose(caffe.io.load_image(source), np.full((4, 5, 3), 0.2))
        with pytest.raises(DataError, match="/gone: HTTP Error 404"):
            caffe.io.load_image(f"{base}/gone")
        server.shutdown()
    with pytest.raises(DataError):
        caffe.io.load_image(io.BytesIO(b"no picture"))


def test_names_of_scikit_image() -> None:
    picture = np.random.default_rng(1).random((6, 8, 3), np.float32)
    try:
        assert caffe.io.resize(picture, (3, 4, 3)).shape == (3, 4, 3)
    except MissingExtra as error:
        assert "minicaffe[skimage]" in str(error)
        pytest.skip("scikit-image is not installed")
    assert caffe.io.zoom(picture, (0.5, 0.5, 1)).shape == (3, 4, 3)
    np.testing.assert_array_equal(caffe.io.skimage.img_as_float(picture), picture)
    for order in range(6):
        for channels in (1, 2, 3):
            resized = caffe.io.resize_image(picture[..., :channels], (3, 4), interp_order=order)
            assert resized.shape == (3, 4, channels)
            assert resized.dtype == np.float32
    mine = caffe.io.resize_image(picture, (12, 16), interp_order=1)
    cubic = caffe.io.resize_image(picture, (12, 16), interp_order=3)
    assert 0 < np.abs(mine - cubic)[2:-2, 2:-2].max() < 0.5
