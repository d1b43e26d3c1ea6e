"""Reading rows: nothing altered, every skip counted, every bad row named by its line."""

import csv
import gzip
import io

import pytest

from bioclinical.errors import UserError
from bioclinical.files import sha256_of_file
from bioclinical.text import tables
from bioclinical.text.tables import Format, TableReader, TextReader, stem_and_suffix

TEXTS = ["NA", "two\nlines", "CR\r\nLF\rkept", '"quoted", twice', "tab\tand\u00a0nbsp", "NaN", "  leading", "é漢🙂"]


def read(path, **format):
    reader = TextReader(path, Format(**{"on_bad_rows": "error"} | format))
    return [row.text for row in reader.texts()], reader


def table(texts, delimiter=","):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["id", "notes"])
    writer.writerows(enumerate(texts))
    return out.getvalue()


@pytest.mark.parametrize("name, delimiter", [("a.csv", ","), ("a.tsv", "\t"), ("a.CSV.gz", ","), ("a.tsv.gz", "\t")])
def test_texts_come_back_unchanged(tmp_path, name, delimiter):
    content = table(TEXTS, delimiter).encode("utf-8")
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    texts, reader = read(path)
    assert texts == TEXTS
    assert reader.raw.sha256.hexdigest() == sha256_of_file(path)
    assert reader.raw.bytes_read == path.stat().st_size


def test_jsonl(tmp_path):
    path = tmp_path / "a.jsonl"
    cells = ['"a\\nb"', "null", "NaN", "5", '" "', '"last\u2028line"']
    path.write_text("\n\n".join([*(f'{{"notes": {cell}}}' for cell in cells), '{"other": 1}']), encoding="utf-8")
    texts, reader = read(path)
    assert texts == ["a\nb", "last\u2028line"]
    assert reader.skipped == {"absent": 2, "not_text": 2, "blank": 1}
    assert reader.row_count == 7


def test_only_absent_and_blank_cells_are_skipped(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('id,notes\n1,\n2," \t\n\u3000"\n3,NA\n\n4,null\n')
    texts, reader = read(path)
    assert texts == ["NA", "null"]
    assert reader.skipped == {"blank": 2, "absent": 1}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_text("notes\nnaïve café\n", encoding=encoding)
    texts, _ = read(path, encoding="utf-8" if encoding == "utf-8-sig" else encoding)
    assert texts == ["naïve café"]


BAD_ROWS = {
    "nul_byte": b"id,notes\n1,good\n2,a\0b\n3,fine\n",
    "invalid_encoding": b"id,notes\n1,good\n2,caf\xe9\n3,fine\n",
    "wrong_cell_count": b"id,notes\n1,good\n2,a,b\n3,fine\n",
}


@pytest.mark.parametrize("reason", BAD_ROWS)
def test_a_bad_row_is_an_error_with_its_line_or_a_counted_skip(tmp_path, reason):
    path = tmp_path / "a.csv"
    path.write_bytes(BAD_ROWS[reason])
    with pytest.raises(UserError, match="line 3: .*--on_bad_rows skip"):
        read(path)
    texts, reader = read(path, on_bad_rows="skip")
    assert texts == ["good", "fine"] and reader.skipped == {reason: 1} and reader.row_count == 3


def test_broken_json_is_a_bad_row(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"notes": "good"}\n{"notes": "cut\n["list"]\n{"notes": "lone \\ud800"}\n')
    with pytest.raises(UserError, match="line 2: not a JSON object"):
        read(path)
    texts, reader = read(path, on_bad_rows="skip")
    assert texts == ["good"] and reader.skipped == {"invalid_json": 2, "invalid_encoding": 1}


@pytest.mark.parametrize("on_bad_rows", ["error", "skip"])
@pytest.mark.parametrize("body", ['1,good\n2,"never closed\n3,fine\n', '1,good\n2,"a "quote" inside"\n3,fine\n'])
def test_unbalanced_quotes_name_the_line_where_the_row_begins(tmp_path, body, on_bad_rows):
    path = tmp_path / "a.csv"
    path.write_text("id,notes\n" + body)
    with pytest.raises(UserError, match="begins at line 3") as raised:
        read(path, on_bad_rows=on_bad_rows)
    assert "good" not in str(raised.value) and "closed" not in str(raised.value)


def test_a_cell_without_end_is_stopped_early(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LONGEST_CELL", 1000)
    path = tmp_path / "a.csv"
    path.write_text('id,notes\n1,good\n2,"' + "many lines\n" * 1000)
    with pytest.raises(UserError, match="a cell is too long in the row that begins at line 3"):
        read(path)


@pytest.mark.parametrize(
    "name, content, format, message",
    [
        ("a.csv", b"", {}, "is empty"),
        ("a.csv", b"id,text\n1,x\n", {}, "no column 'notes'; its first line names: 'id', 'text'"),
        ("a.csv", b"\xef\xbb\xbf", {}, "is empty"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), {}, "is empty"),
        ("a.csv", b"notes\nx\n", {"encoding": "rot13"}, "--encoding rot13 is unknown"),
        ("a.csv", b"notes\nx\n", {"encoding": "utf-16"}, "is not valid utf-16; pass its --encoding"),
        ("a.csv", b"notes\nx\n", {"encoding": "undefined"}, "is not valid undefined"),
        ("a.csv", b"notes\nx\n", {"key_column": "patient"}, "no column 'patient'"),
        ("a.csv", b"notes,notes\nx,y\n", {}, "2 columns named 'notes'"),
        ("a.jsonl", b'{"text": "x"}\n', {}, "no column 'notes'; its first line names: 'text'"),
        ("a.csv", "notes\nx\n".encode("utf-16"), {}, "is not utf-8 text; pass its --encoding"),
        ("a.csv", b"notes\nx\n", {"encoding": "klingon"}, "--encoding klingon is unknown"),
        ("a.csv.gz", b"not gzip", {}, "damaged or not gzip"),
        ("a.csv.gz", gzip.compress(table(TEXTS * 500).encode(), mtime=0)[:-20], {}, "damaged or not gzip"),
        ("a.xlsx", b"PK", {}, "unknown kind; allowed: .csv, .tsv, .jsonl"),
    ],
)
def test_unreadable_files(tmp_path, name, content, format, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        read(path, **format)
    assert message in str(raised.value)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        TextReader(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        TextReader(tmp_path / "folder.csv")


def test_the_error_of_a_file_without_header_shows_no_text(tmp_path):
    path = tmp_path / "a.csv"
    for row in ('7,"Seen this morning with fever and cough, sent home."', '12345,"Smith, John",1950-02-01'):
        path.write_text(row + "\n")
        with pytest.raises(UserError, match="does not look like column names; add a header line") as raised:
            read(path)
        assert "fever" not in str(raised.value) and "Smith" not in str(raised.value)


def test_stems(tmp_path):
    for name in ("notes.csv", "notes.csv.gz", "notes.tsv", "notes.jsonl.gz"):
        assert stem_and_suffix(tmp_path / name)[0] == "notes"
    assert stem_and_suffix(tmp_path / "a_1.b.csv")[0] == "a_1.b"


def test_any_columns_of_any_delimiter_with_the_numbers_of_all_rows(tmp_path):
    path = tmp_path / "a.data"
    path.write_text("c|b|a\n1|2|3\n\n4|5\n7|8|9\n")
    rows = list(TableReader(path, ("a", "c"), delimiter="|", on_bad_rows="skip").rows())
    assert [(row.number, row.line, row.cells) for row in rows] == [
        (0, 2, {"a": "3", "c": "1"}), (1, 3, {}), (3, 5, {"a": "9", "c": "7"}),
    ]  # fmt: skip
    with pytest.raises(UserError, match="line 4: 2 cells where the header has 3; repair the file$"):
        list(TableReader(path, ("a", "c"), delimiter="|").rows())
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": [1], "c": "x"}\n\nbroken\n{"c": null}\n')
    rows = list(TableReader(path, ("a", "c"), on_bad_rows="skip").rows())
    assert [(row.number, row.line, row.cells) for row in rows] == [
        (0, 1, {"a": [1], "c": "x"}), (2, 4, {"a": None, "c": None}),
    ]  # fmt: skip


def test_a_number_of_thousands_of_digits_is_a_bad_row(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"notes": "good"}\n{"notes": "text", "n": ' + "9" * 5000 + "}\n")
    with pytest.raises(UserError, match="line 2: not a JSON object"):
        read(path)


def test_a_key_that_is_not_text_of_the_encoding_is_a_bad_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,notes\nj\xe9,x\n")
    with pytest.raises(UserError, match="line 2: the text is not valid utf-8; repair the file or pass its --encoding"):
        read(path, key_column="id")


def test_rows_without_text_are_given_where_asked_for(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"notes": "a", "id": 5}\nbad\n{"notes": null}\n{"notes": 3}\n{"notes": " "}\n{"notes": "b"}\n')
    reader = TextReader(path, Format(key_column="id", on_bad_rows="skip"))
    rows = [(row.number, row.text, row.key) for row in reader.texts(keep_empty=True)]
    assert rows == [(0, "a", "5"), (2, "", None), (3, "", None), (4, " ", None), (5, "b", None)]
    assert reader.skipped == {"invalid_json": 1}


HEADERS = {
    "ROW_ID,SUBJECT_ID,CHARTDATE,TEXT": "names: 'ROW_ID', 'SUBJECT_ID', 'TEXT' and 1 more; choose",
    "Smith,John,M": "its first line has 3 cells and does not look like column names",
    "Fever since Monday": "its first line has 1 cells",
    "smith,7": "its first line has 2 cells",
    "id,Seen by Dr. Abend,text": "its first line has 3 cells",
    "id,text": "names: 'id', 'text'; choose one of these",
}


@pytest.mark.parametrize("header", HEADERS)
def test_what_may_be_text_is_not_shown_as_a_column(tmp_path, header):
    path = tmp_path / "a.csv"
    path.write_text(header + "\n" + header + "\n")
    with pytest.raises(UserError) as raised:
        read(path)
    assert HEADERS[header] in str(raised.value)
    assert not any(word in str(raised.value) for word in ("Smith", "smith", "Fever", "Abend"))


def test_beside_a_wanted_column_the_others_are_columns_too(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Note Text,patient\nx,y\n")
    with pytest.raises(UserError, match="no column 'notes'; its first line names: 'Note Text', 'patient'"):
        read(path, key_column="patient")
