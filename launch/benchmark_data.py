"""Data that a benchmark's line `prepare` makes without smartbird."""
import csv
import pathlib

MAKERS = ("authors",)


def authors(data, output):
    """output/{train,test}/AUTHOR/BOOK: links to the books of data/books, split as its manifest says."""
    with open(data / "books" / "manifest.tsv", newline="", encoding="utf-8") as manifest:
        for row in csv.DictReader(manifest, delimiter="\t"):
            if row["author_split"] == "none":
                continue
            link = output / row["author_split"] / row["author"] / row["file"]
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to((data / "books" / row["file"]).resolve())
    pathlib.Path(f"{output}.idx").touch()  # written last: it is there
