"""Data that a benchmark's line `prepare` makes without smartbird: novels and reviews as words of one vocabulary, lower-case letters with a space
between two. What else there is, of a book, tells its edition: quotes, dashes, line ends, headings; and words of few books are the names of their
people. Models that see those know books and not authors. Lengths are bytes of the texts as they are."""
import collections
import csv
import pathlib
import re

MAKERS = ("words",)
SHARE_OF_NOVELS, SHARE_OF_REVIEWS = 2 / 3, 0.02  # a word is of the vocabulary that this share of the novels, or of the reviews, to learn from has
UNKNOWN = "?"  # stands for each other word
AUTHORS_BYTES = (1024, 4096, 16384)  # pieces of a book, the rest is dropped
REVIEWS_BYTES = (512, 1024, 2048, 4096)  # the beginning of a review
REVIEWS_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def words(data, output):
    """output/vocabulary; pretrain/{train,valid}/*.txt: the novels to learn language from, to train also the reviews to learn from, without their
    labels; authors_BYTES/{train,test}.tsv as the manifest splits authors; reviews_BYTES/{train,valid,test}.tsv."""
    books, reviews = _books(data), _reviews(data)
    pretrain = {(split, file): _words_of(text) for split, file, _, text in books["lm_split"] if split in ("train", "valid")}
    pretrain.update({("train", f"{name}.txt"): _words_of(text) for split, name, _, text in reviews if split == "train"})
    novels = [set(_words_of(text)) for split, _, _, text in books["lm_split"] if split == "train"]
    films = [set(_words_of(text)) for split, _, _, text in reviews if split == "train"]
    known = [UNKNOWN, *sorted(_spread(novels, SHARE_OF_NOVELS) | _spread(films, SHARE_OF_REVIEWS))]
    place = output / "vocabulary"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join(known) + "\n")
    vocabulary = frozenset(known)
    for (split, file), text in pretrain.items():
        if text:
            _write(output / "pretrain" / split / file, _known(text, vocabulary))
    for size in AUTHORS_BYTES:
        pieces = [(split, author, text[at:at + size]) for split, _, author, text in books["author_split"] if split != "none"
                  for at in range(0, len(text) - size + 1, size)]
        _write_tables(output / f"authors_{size}", pieces, vocabulary)
    for size in REVIEWS_BYTES:
        _write_tables(output / f"reviews_{size}", [(split, label, text[:size]) for split, _, label, text in reviews], vocabulary)
    pathlib.Path(f"{output}.idx").touch()  # written last


def _spread(texts, share):
    """Words that at least this share of texts has."""
    having = collections.Counter(word for text in texts for word in text)
    return {word for word, count in having.items() if count >= share * len(texts)}


def _books(data):
    """Of either split of the manifest: [(split, file, author, bytes)]."""
    with open(data / "books" / "manifest.tsv", newline="", encoding="utf-8") as manifest:
        books = list(csv.DictReader(manifest, delimiter="\t"))
    text = {book["file"]: (data / "books" / book["file"]).read_bytes() for book in books}
    return {column: [(book[column], book["file"], book["author"], text[book["file"]]) for book in books] for column in ("lm_split", "author_split")}


def _reviews(data):
    """[(split, name, label, bytes)]."""
    out = []
    for file in sorted((data / "movie_reviews").glob("*.tsv")):
        for line in file.read_text(encoding="utf-8").split("\n")[1:-1]:
            label, name, text = line.split("\t")
            text = re.sub(r"\\(.)", lambda escape: REVIEWS_ESCAPES.get(escape[1], escape[0]), text)
            out.append((file.stem.split("-")[0], f"{name.replace('/', '_')}_{label}", label, text.encode()))
    return out


def _words_of(text):
    return re.findall("[a-z]+", text.decode("utf-8", errors="replace").lower())


def _known(text, vocabulary):
    return " ".join(word if word in vocabulary else UNKNOWN for word in text)


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _write_tables(folder, documents, vocabulary):
    """A table a split of (split, label, bytes); without texts that have no word."""
    for split in dict.fromkeys(split for split, _, _ in documents):
        rows = ((label, _known(_words_of(text), vocabulary)) for at, label, text in documents if at == split)
        _write(folder / f"{split}.tsv", "label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows if text))
