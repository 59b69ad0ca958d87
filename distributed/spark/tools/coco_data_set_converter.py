"""CocoDataSetConverter: COCO's captions and pictures, as what a captioning net is trained on."""

from __future__ import annotations

import logging
from typing import Any

from minicaffe.errors import ClusterError

from ..config import Config
from ..output import check_format
from ..session import exists
from .conversions import Coco2ImageCaptionFile, Image2Embedding, ImageCaption2Embedding
from .tool import Tool
from .vocab import Vocab

log = logging.getLogger("minicaffe.spark")


class CocoDataSetConverter(Tool):
    """A DataFrame of COCO's pictures with captions in numbers, and the vocabulary.

    Below -output: -imageCaptionDFDir, where it is given, gets the captions as JSON; -vocabDir the
    vocabulary, unless one is there, which is then used; -embeddingDFDir the pictures. With -conf a
    sentence is as long as that net's, T, else -captionLength. A file without captions gives the
    pictures alone. A picture that cannot be read is left out, named and counted.
    """

    needs = ("captionFile", "imageRoot", "output", "embeddingDFDir")
    knows = ("vocabDir", "vocabSize", "captionLength", "conf", "imageCaptionDFDir",
             "outputFormat", "clusterSize")  # fmt: skip

    def run(self) -> None:
        """Write what the options name."""
        conf = self.conf
        if not conf.outputPath:
            raise ClusterError("no place for the result is given: -output PATH")
        for name in filter(None, (conf.imageCaptionDFDir, conf.embeddingDFDir)):
            if self._is_there(name):
                raise ClusterError(f"{self._below(name)} exists already: give a new -output")
        check_format(conf)
        captions = Coco2ImageCaptionFile(self.session, conf.captionFile, self.parts)
        if conf.imageCaptionDFDir:
            path = self._below(conf.imageCaptionDFDir)
            self.write_frame(captions, path, "json")
        if "caption" in captions.columns:
            vocab = self._vocabulary(captions)
            frame = ImageCaption2Embedding(
                conf.imageRoot, captions, vocab, self._length(), self.bad
            )
        else:
            frame = Image2Embedding(conf.imageRoot, captions, self.bad)
        self.write_frame(frame, self._below(conf.embeddingDFDir))

    def _vocabulary(self, captions: Any) -> Vocab:
        """The vocabulary that is there, or a new one, which is kept if -vocabDir says where."""
        conf, vocab = self.conf, Vocab(self.session)
        if conf.vocabDir and self._is_there(conf.vocabDir):
            vocab.load(self._below(conf.vocabDir))
            log.warning("the vocabulary %s is there, and is used", self._below(conf.vocabDir))
            return vocab
        vocab.genFromData(captions, "caption", conf.vocabSize)
        if conf.vocabDir:
            vocab.save(self._below(conf.vocabDir))
        return vocab

    def _length(self) -> int:
        return sentence_length(self.conf) if self.conf.protoFile else self.conf.captionLength

    def _below(self, name: str) -> str:
        return f"{self.conf.outputPath.rstrip('/')}/{name}"

    def _is_there(self, name: str) -> bool:
        return exists(self.sc, self._below(name))


def sentence_length(conf: Config) -> int:
    """T of the time-major sentences (T, N) that the net of -conf is fed. Raises ClusterError."""
    tops = [top for layer in conf.netParam.layer for top in layer.cos_data_param.top]
    lengths = {top.channels for top in tops if top.transpose}
    if len(lengths) != 1:
        said = f"but of {sorted(lengths)} words" if lengths else "at all"
        raise ClusterError(
            f"-conf {conf.protoFile}: its net is fed no sentences of one length, {said}"
            " (CoSData tops with transpose)"
        )
    return int(lengths.pop())
