"""scripts/download_data.py against a local HTTP server that drops, repeats, truncates and lies."""

import hashlib
import io
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bioclinical.errors import run_cli
from bioclinical.tasks.catalogue.questions import MMLU_MEDICAL
from bioclinical.tasks.downloads import RELEASES, Files, RemoteFile
from dataloader import get_task
from scripts import download_data
from scripts.download_data import SOURCES

PARTS = ("train", "dev", "test")


class Handler(BaseHTTPRequestHandler):
    """Serves server.content under any path. server.plan: what to do with the next requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append(self.headers.get("Range"))
        action = self.server.plan.pop(0) if self.server.plan else "serve"
        if isinstance(action, int):
            self.send_error(action)
            return
        start = 0
        if self.headers.get("Range") and action != "ignore range":
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        body = self.server.files.get(self.path.rsplit("/", 1)[-1], self.server.content)[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if action == "drop" else body)
        if action == "drop":
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.plan, server.requests, server.content, server.files = [], [], b"", {}
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for name, source in list(SOURCES.items()):
        here = f"http://127.0.0.1:{server.server_port}/" + source.url.rsplit("/", 1)[-1]
        monkeypatch.setitem(SOURCES, name, replace(source, url=here))
    for name, urls in list(RELEASES.items()):
        here = tuple(f"http://127.0.0.1:{server.server_port}/" + url.rsplit("/", 1)[-1] for url in urls)
        monkeypatch.setitem(RELEASES, name, here)
    monkeypatch.setattr(download_data, "BLURB_LISTS", f"http://127.0.0.1:{server.server_port}/data_generation.tar.gz")
    monkeypatch.setattr(download_data, "WAIT_S", 0)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["download_data.py", *arguments, "--data_dir", str(tmp_path / "raw")])
        try:
            run_cli(download_data.main)
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()[-1] if code else ""

    return run


def archive(files: dict[str, str], compression=zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as content:
        for name, text in files.items():
            content.writestr(name, text)
    return buffer.getvalue()


COS = {f"events-COS-corpus/r{i}.ann": f"T1\tSnippet 0 4\tmild{'x' * i * 50}\n" for i in range(9)}


def names(tmp_path, folder="COS"):
    return sorted(path.name for path in (tmp_path / "raw" / folder).iterdir())


def test_fetch_unpack_and_say_how_to_get_the_others(server, run, tmp_path):
    server.content = archive(COS | {"__MACOSX/events-COS-corpus/._r0.ann": "junk", "events-COS-corpus/readme": "x"})
    code, out, _ = run("COS")
    assert code == 0 and names(tmp_path) == [f"r{i}.ann" for i in range(9)] and "COS: 9 files" in out
    assert "physionet.org/files/deidentifiedmedicaltext/1.0/id.res" in out and f"{tmp_path}/raw/DEID" in out
    assert run("COS")[1].startswith("COS: ") and len(server.requests) == 1
    server.content = archive({"r.ann": "T1\tSnippet 0 4\tmild\n"})
    assert run("COS", "--overwrite")[0] == 0 and names(tmp_path) == ["r.ann"]


@pytest.mark.parametrize("plan", [["drop", "drop"], [503, "drop"], ["drop", "ignore range"], ["drop", 416]])
def test_a_dropped_connection_is_continued(server, run, tmp_path, plan):
    server.content, server.plan = archive(COS, zipfile.ZIP_STORED), list(plan)
    code, out, err = run("COS")
    assert code == 0 and len(names(tmp_path)) == 9, err
    assert len(server.requests) == (2 if "ignore range" in plan else 3) and "trying again" in out
    assert any(server.requests[1:])


def test_a_server_that_stays_away_leaves_what_was_fetched(server, run, tmp_path):
    server.content, server.plan = archive(COS, zipfile.ZIP_STORED), ["drop", *[503] * 4]
    code, _, err = run("COS")
    assert code == 2 and "run the same command again" in err and not (tmp_path / "raw" / "COS").exists()
    assert run("COS")[0] == 0 and server.requests[-1] == f"bytes={len(server.content) // 2}-"


def chemprot(rows: dict[str, int]) -> dict[str, str]:
    return {f"bert_data/ChemProt/{n}.tsv": "index\tsentence\tlabel\n" + "1\ta\tfalse\n" * k for n, k in rows.items()}


def test_chemprot_rows_are_checked(server, run, tmp_path):
    published = {"train": 19_460, "dev": 11_820, "test": 16_943}
    server.content = archive(chemprot(published | {"dev": 11_821}) | {"bert_data/ddi/train.tsv": "x"})
    code, _, err = run("ChemProt")
    assert code == 2 and "dev.tsv has 11,821 rows, published are 11,820" in err
    assert not (tmp_path / "raw" / "ChemProt").exists()
    server.content = archive(chemprot(published))
    assert run("ChemProt")[0] == 0 and names(tmp_path, "ChemProt") == ["dev.tsv", "test.tsv", "train.tsv"]


def test_a_text_without_annotations_is_named(server, run, tmp_path):
    server.content = archive({"a.txt": "x", "a.ann": "", "b.txt": "y"})
    code, out, _ = run("SocialHistory")
    assert code == 0 and "1 .txt file(s) without .ann (b.txt)" in out


@pytest.mark.parametrize(
    "content, message",
    [
        (archive(COS)[:-40], "is no intact zip file"),
        (archive(COS).replace(b"r3.ann", b"r0.ann"), "files of the same name|is no intact zip"),
        (archive({"x/readme": "moved"}), "has no *.ann (it has x); did it change?"),
        (archive({"a/r.ann": "1", "b/r.ann": "2"}), "files of the same name in several folders"),
        (archive({"../../evil.ann": "x", **COS}), "leads out of its folder"),
        (archive({"/etc/evil.ann": "x", **COS}), "leads out of its folder"),
        (archive({"C:\\evil.ann": "x", **COS}), "leads out of its folder"),
        (archive({"big.ann": "0" * 2_000_000}), "would unpack to more than"),
        (b"<html>moved</html>", "is no intact zip file"),
    ],
)
def test_unusable_archives_leave_nothing(server, run, tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(download_data, "LARGEST_BYTES", 1_000_000)
    server.content = content
    code, _, err = run("COS")
    assert code == 2 and any(part in err for part in message.split("|")), err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_moved_and_unknown(server, run):
    server.plan = [404]
    assert "answers 404" in run("COS")[2]
    assert "'DEID' cannot be fetched; known: AnatEM, BC2GM, " in run("DEID")[2]


# Single files, checked by size and hash


@pytest.fixture
def one_file(server, monkeypatch):
    server.content = b"a\tB\n" * 2_000
    here = f"http://127.0.0.1:{server.server_port}/"
    remote = RemoteFile("train.tsv", len(server.content), hashlib.sha256(server.content).hexdigest())
    monkeypatch.setitem(
        download_data.FILES, "NCBI-disease", Files(here, {"train.tsv": remote, "x.tsv": RemoteFile("x")})
    )
    return server


def test_files_are_checked_and_a_broken_download_goes_on(one_file, run, tmp_path):
    one_file.plan = ["drop", "serve", "serve"]
    code, out, _ = run("NCBI-disease")
    assert code == 0 and "no hash is known" in out
    folder = tmp_path / "raw" / "NCBI-disease"
    assert sorted(path.name for path in folder.iterdir()) == ["train.tsv", "x.tsv"]
    assert (folder / "train.tsv").read_bytes() == one_file.content and one_file.requests[1].startswith("bytes=")
    assert not list((tmp_path / "raw" / ".downloads").iterdir())


def test_another_file_is_not_kept(one_file, run, tmp_path):
    one_file.content = one_file.content + b"x"
    code, _, error = run("NCBI-disease")
    assert code == 2 and "8,001 bytes" in error and "expected were 8,000" in error
    assert not (tmp_path / "raw" / "NCBI-disease").exists()


def test_gits_hash_is_compared_where_no_other_is_known(server, run, tmp_path, monkeypatch):
    server.content = b"hello\n"
    known = RemoteFile("x", git_sha1="ce013625030b")  # git hash-object of it
    files = Files(f"http://127.0.0.1:{server.server_port}/", {"train-v2.0.json": known})
    monkeypatch.setitem(download_data.FILES, "SQuAD2", files)
    code, out, _ = run("SQuAD2")
    assert code == 0 and "no hash is known" not in out
    server.content = b"hallo\n"
    code, _, error = run("SQuAD2", "--overwrite")
    assert code == 2 and "does not begin with ce013625030b" in error
    assert (tmp_path / "raw/SQuAD2/train-v2.0.json").read_bytes() == b"hello\n"


def test_a_suite_names_what_must_be_fetched_by_hand(one_file, run, monkeypatch):
    monkeypatch.setattr(download_data, "folders_of", lambda suite: ["NCBI-disease", "MedNLI"])
    code, out, _ = run("blurb")
    assert code == 0 and "MedNLI: by hand. Get the three files from physionet.org" in out
    assert "dataloader.py --check blurb" in out


# Releases that are converted


def tarred(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as content:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            content.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


PICO = {f"ebm_nlp_2_00/documents/{pmid}.tokens": "Forty\nslept\n.\n" for pmid in (1, 2, 3)} | {
    f"ebm_nlp_2_00/annotations/aggregated/starting_spans/{element}/{place}/{pmid}.AGGREGATED.ann": marks
    for element, marks in (("participants", "1\n0\n0"), ("interventions", "0\n0\n0"), ("outcomes", "0\n1\n0"))
    for pmid, place in ((1, "train"), (2, "train"), (3, "test/gold"))
}


def test_a_release_is_converted_and_its_counts_compared(server, run, tmp_path):
    lists = {f"data_generation/indexing/ebmnlp/{part}_pmid.tsv": f"{k}," for k, part in enumerate(PARTS, start=1)}
    server.files = {"ebm_nlp_2_00.tar.gz": tarred(PICO), "data_generation.tar.gz": tarred(lists)[:40]}
    code, _, err = run("PICO")
    assert code == 2 and "'data_generation.tar.gz' is no intact archive" in err and not (tmp_path / "raw/PICO").exists()
    server.files["data_generation.tar.gz"] = tarred(lists)
    code, out, err = run("PICO")
    assert code == 0, err
    assert (tmp_path / "raw/PICO/test.tsv").read_text() == "-DOCSTART- (3)\n\nForty\tI-PAR\nslept\tI-OUT\n.\tO\n"
    assert "PICO: groups 1 / 1 / 1 (published: 3,842 / 960 / 191)" in out and "not comparable with published" in out
    assert not (tmp_path / "raw/.downloads/PICO").exists()


def test_a_release_that_does_not_convert_is_not_fetched_again(server, run, tmp_path):
    server.content = archive({"readme": "moved"})
    for _ in range(2):
        code, _, err = run("JNLPBA")
        assert code == 2 and "holds 'Genia4ERtask1.iob2' 0 times" in err
    assert len(server.requests) == 2 and not (tmp_path / "raw/JNLPBA").exists()


def test_mmlus_medical_subjects_are_taken_out_of_its_archive(server, run, tmp_path):
    files = {
        f"data/{part}/{subject}_{part}.csv": "What?,a,b,c,d,A\n"
        for part in ("dev", "val", "test")
        for subject in (*MMLU_MEDICAL, "astronomy")
    }
    server.content = tarred(files)
    code, out, err = run("MMLU")
    assert code == 0, err
    assert "MMLU: 18 files" in out and "examples 6 / 6 / 6 (published: 30 / 123 / 1,099)" in out
    assert not list((tmp_path / "raw" / "MMLU").rglob("astronomy*"))


def test_every_file_has_a_task_that_reads_it():
    for name, files in download_data.FILES.items():
        wanted = {path.name for path in get_task(name).reader.raw_files(download_data.Path(name))}
        assert set(files.files) == wanted
