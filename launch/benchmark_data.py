"""Data that a benchmark's line `prepare` makes without smartbird: books of data/books as lower-case words, a space between two. What else
there is, of a book, tells its edition: quotes, dashes, line ends, headings; models that see it know books and not authors."""
import csv
import pathlib
import re

MAKERS = ("authors", "novels")


def authors(data, output):
    """output/{train,test}/AUTHOR/BOOK, as the manifest splits authors."""
    for book in _books(data):
        if book["author_split"] != "none":
            _write_words(data, book, output / book["author_split"] / book["author"])
    _is_there(output)


def novels(data, output):
    """output/{train,valid,test}/BOOK, as the manifest splits books to learn language from."""
    for book in _books(data):
        if book["lm_split"] != "none":
            _write_words(data, book, output / book["lm_split"])
    _is_there(output)


def _books(data):
    with open(data / "books" / "manifest.tsv", newline="", encoding="utf-8") as manifest:
        return list(csv.DictReader(manifest, delimiter="\t"))


def _write_words(data, book, folder):
    folder.mkdir(parents=True, exist_ok=True)
    text = (data / "books" / book["file"]).read_text(encoding="utf-8", errors="replace").lower()
    (folder / book["file"]).write_text(" ".join(re.findall("[a-z]+", text)))


def _is_there(output):
    pathlib.Path(f"{output}.idx").touch()  # written last
