"""Vocab: the words of captions and their ids, each id defined here and nowhere else.

    -1   no token: what fills a sentence up
     0   the start and the end of a sentence
     1   UNK, any word that the vocabulary does not have
     2   the commonest word, 3 the next ...

A vocabulary is kept as the ancestor keeps it, a word a line, UNK first, in a folder of Spark's. So
its files can be read; but there the line, from 0, is the id, whereby UNK is 0 like the end of a
sentence. The ids here are one higher.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from minicaffe.errors import ClusterError, DataError, shown

from ..session import hadoop_place, session_of
from ..spark_job import reason_of

NO_TOKEN = -1
START_END_ID = 0
UNKNOWN_ID = VALID_TOKEN_INDEX = 1
FIRST_WORD_ID = 2
UNKNOWN_TOKEN = "UNK"

_RUNS = re.compile(r"\w+|\W+")


class Sentence(NamedTuple):
    """A caption in numbers, each a list of the same length: what an LSTM reads, and is to say."""

    input: list[int]
    cont: list[int]
    target: list[int]


class Vocab:
    """The ids of words: `genFromData` counts them in a DataFrame, `save` and `load` keep them.

    `sc` is a SparkContext or a SparkSession; the one that is running, if it is not given.
    """

    def __init__(self, sc: Any = None) -> None:
        self._sc = sc
        self._words: list[str] = []

    def __len__(self) -> int:
        """How many ids there are, from 0: what a net needs as `input_dim` and `num_output`."""
        return FIRST_WORD_ID + len(self._words)

    def genFromData(self, dataset: Any, columnName: str, vocabSize: int = -1) -> None:
        """Take the `vocabSize` commonest words (-1, all) of a column of sentences.

        Words that are equally common stand in the alphabet's order.
        """
        from pyspark.sql import functions as sql

        session_of(dataset)  # which ships this code
        words = sql.udf(sentence2Words, "array<string>", useArrow=False)
        counted = (
            dataset.select(sql.explode(words(sql.col(columnName))).alias("word"))
            .groupBy("word")
            .count()
            .orderBy(sql.desc("count"), "word")
        )
        rows = (counted if vocabSize < 0 else counted.limit(vocabSize)).collect()
        self._words = [row.word for row in rows]

    def save(self, vocabFilePath: str) -> None:
        """Write the words into a new folder, of any file system that Spark knows."""
        lines = [UNKNOWN_TOKEN, *self._words]
        sc = session_of(self._sc).sparkContext
        try:
            sc.parallelize(lines, 1).saveAsTextFile(str(hadoop_place(sc, vocabFilePath)[0]))
        except Exception as error:
            raise ClusterError(f"the vocabulary {vocabFilePath}: {reason_of(error)}") from None

    def load(self, vocabFilePath: str) -> None:
        """Read a folder that was saved, here or by the ancestor, or a file. Raises DataError."""
        place = shown(vocabFilePath)
        sc = session_of(self._sc).sparkContext
        try:
            files = sc.wholeTextFiles(str(hadoop_place(sc, vocabFilePath)[0])).collect()
        except Exception as error:
            raise DataError(f"the vocabulary {place}: {reason_of(error)}") from None
        self._words = checked("".join(text for _, text in sorted(files)).splitlines(), place)

    def word2indexMap(self) -> dict[str, int]:
        """Word -> id, UNK among them."""
        return {word: index for index, word in self.index2wordMap().items()}

    def index2wordMap(self) -> dict[int, str]:
        """Id -> word, UNK among them."""
        return dict(enumerate([UNKNOWN_TOKEN, *self._words], UNKNOWN_ID))


def checked(lines: Sequence[str], place: str) -> list[str]:
    """The words below UNK of a vocabulary's lines. Raises DataError with the line."""
    if not lines or lines[0] != UNKNOWN_TOKEN:
        raise DataError(f"{place}:1: a vocabulary begins with a line {UNKNOWN_TOKEN}")
    seen: dict[str, int] = {}
    for number, word in enumerate(lines, 1):
        if not word.strip():
            raise DataError(f"{place}:{number}: an empty line, where a word is expected")
        if word in seen:
            raise DataError(f"{place}:{number}: '{word}' stands in line {seen[word]} already")
        seen[word] = number
    return list(lines[1:])


def sentence2Words(sentence: str | None) -> list[str]:
    """The words of a sentence, in small letters: runs of word characters, and of other ones.

    Blanks between them are left out, as is a full stop at the end.
    """
    runs = (" ".join(run.split()) for run in _RUNS.findall((sentence or "").lower()))
    words = [run for run in runs if run]
    return words[:-1] if words and words[-1] == "." else words


def sentence_of(caption: str | None, index: Mapping[str, int], length: int) -> Sentence:
    """A caption in numbers: start, words and end, filled up with NO_TOKEN to the length.

    input   0  w1 w2 ... wk -1 ...       k words, at most length - 1
    cont    0  1  1  ... 1  -1 ...       0: a sentence begins
    target  w1 w2 ... wk 0  -1 ...
    """
    ids = [index.get(word, UNKNOWN_ID) for word in sentence2Words(caption)[: length - 1]]
    rest = [NO_TOKEN] * (length - 1 - len(ids))
    return Sentence(
        input=[START_END_ID, *ids, *rest],
        cont=[0, *[1] * len(ids), *rest],
        target=[*ids, START_END_ID, *rest],
    )


def caption_of(ids: Iterable[int], words: Mapping[int, str]) -> str:
    """The words of ids, with blanks between; START_END_ID and NO_TOKEN are passed over.

    Raises DataError for an id that the vocabulary does not have.
    """
    known = [int(each) for each in ids if each not in (START_END_ID, NO_TOKEN)]
    unknown = next((each for each in known if each not in words), None)
    if unknown is not None:
        raise DataError(f"there is no word of id {unknown} (the vocabulary ends at {max(words)})")
    return " ".join(words[each] for each in known)
