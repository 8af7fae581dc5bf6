"""Download of MNIST from a server on this machine: whole files or none, and nothing written over."""

import gzip
import hashlib
import http.server
import os
import socket
import threading
from pathlib import Path

import pytest
from image_files import as_idx, mnist_arrays, write_mnist
from tiny import contents, refused

import neuro_bpl as nb
from neuro_bpl.tasks.images.idx_files import content
from neuro_bpl.tasks.images.mnist import FILES, find, read_mnist
from neuro_bpl.tasks.images.mnist_download import CHECKSUMS, MIRROR_VARIABLE, MIRRORS, fetch_mnist

PLAIN = {name: as_idx(array) for name, array in mnist_arrays().items()}
SUMS = {name: hashlib.sha256(plain).hexdigest() for name, plain in PLAIN.items()}
FIRST, SECOND = FILES[:2]


class Mirror(http.server.ThreadingHTTPServer):
    """A server of the four files; `answers` replaces one by a status, or by (bytes, announced length)."""

    def __init__(self, level=9):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = {f"{name}.gz": gzip.compress(plain, level) for name, plain in PLAIN.items()}
        self.answers, self.asked = {}, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/mnist/"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.removeprefix("/mnist/")
        self.server.asked.append(name)
        answer = self.server.answers.get(name, self.server.files.get(name, 404))
        if isinstance(answer, int):
            self.send_error(answer)
            return
        body, length = answer if isinstance(answer, tuple) else (answer, len(answer))
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        """Say nothing."""


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    """Servers of this machine are asked without a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)


@pytest.fixture
def start():
    """Start a mirror; all of them stop with the test."""
    started = []

    def one(level=9):
        mirror = Mirror(level)
        thread = threading.Thread(target=mirror.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((mirror, thread))
        return mirror

    yield one
    for mirror, thread in started:
        mirror.shutdown()
        thread.join()
        mirror.server_close()


@pytest.fixture
def mirror(start):
    return start()


def nowhere():
    """A URL at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/mnist/"


def fetch(folder, *mirrors):
    fetch_mnist(folder, [getattr(one, "url", one) for one in mirrors], SUMS)


def assert_whole(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.gz" for name in FILES)
    assert {name: content(folder / f"{name}.gz") for name in FILES} == PLAIN


# ----------------------------------------------------------------------------------------------------------- success


def test_files_are_fetched_once_and_read(mirror, tmp_path, capfd):
    folder = tmp_path / "data" / "mnist"
    fetch(folder, mirror)
    assert_whole(folder)
    assert "100%" in capfd.readouterr().err
    (tmp_path / "new").touch()
    assert {path.stat().st_mode for path in folder.iterdir()} == {(tmp_path / "new").stat().st_mode}
    before = contents(folder)
    fetch(folder, mirror)
    assert mirror.asked == [f"{name}.gz" for name in FILES]
    assert contents(folder) == before
    assert read_mnist(folder).images["train"].shape == (50, 5, 4)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_file_that_is_there_is_not_fetched(mirror, tmp_path, zipped):
    name = f"{FIRST}.gz" if zipped else FIRST
    own = gzip.compress(PLAIN[FIRST], 1) if zipped else PLAIN[FIRST]
    (tmp_path / name).write_bytes(own)
    fetch(tmp_path, mirror)
    assert f"{FIRST}.gz" not in mirror.asked
    assert (tmp_path / name).read_bytes() == own
    assert find(tmp_path, FIRST) == tmp_path / name
    assert len(list(tmp_path.iterdir())) == 4


def test_mirrors_may_compress_as_they_like(start, tmp_path):
    for level in (0, 9):
        fetch(tmp_path / str(level), start(level))
        assert_whole(tmp_path / str(level))


def test_the_variable_names_a_mirror_of_ones_own(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, mirror.url.removesuffix("/"))
    fetch_mnist(tmp_path, checksums=SUMS)
    assert_whole(tmp_path)


# ----------------------------------------------------------------------------------------------------------- failure


SPOILT = gzip.compress(PLAIN[SECOND][:-1] + b"\x0b")
WHOLE = gzip.compress(PLAIN[SECOND])
FAILURES = {
    "not there": (404, "404"),
    "out of order": (500, "500"),
    "another content": (SPOILT, hashlib.sha256(gzip.decompress(SPOILT)).hexdigest()),
    "cut short": ((WHOLE[:-20], len(WHOLE)), ""),
    "cut short and announced so": (WHOLE[:-20], "end-of-stream"),
    "a page of text": (b"<html>sign in</html>", "gzip"),
    "nothing": (b"", "SHA-256"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_file_that_is_not_right_is_reported_and_never_lies_in_the_folder(mirror, tmp_path, case):
    answer, said = FAILURES[case]
    mirror.answers[f"{SECOND}.gz"] = answer
    with refused(f"{SECOND}.gz could not be fetched", SUMS[SECOND], mirror.url, said, "by hand", error=OSError):
        fetch(tmp_path, mirror)
    assert [path.name for path in tmp_path.iterdir()] == [f"{FIRST}.gz"]
    with refused("MNIST is not in", error=FileNotFoundError):
        read_mnist(tmp_path)
    mirror.answers.clear()
    fetch(tmp_path, mirror)
    assert_whole(tmp_path)
    assert mirror.asked.count(f"{FIRST}.gz") == 1


@pytest.mark.parametrize("case", ["refused", *FAILURES])
def test_where_one_mirror_fails_the_next_one_is_asked(start, tmp_path, case):
    bad, good = start(), start()
    if case != "refused":
        bad.answers[f"{FIRST}.gz"] = FAILURES[case][0]
    first = nowhere() if case == "refused" else bad.url
    with pytest.warns(RuntimeWarning, match=f"{first}.*Asking {good.url}") as said:
        fetch(tmp_path, first, good)
    assert len(said) == 1
    assert_whole(tmp_path)
    assert len(good.asked) == 4


def test_without_a_connection_the_way_by_hand_is_shown(tmp_path):
    first, second = nowhere(), nowhere()
    with (
        pytest.warns(RuntimeWarning, match="Asking"),
        refused(first, second, str(tmp_path), "by hand", MIRROR_VARIABLE, error=OSError),
    ):
        fetch(tmp_path, first, second)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [FIRST, f"{FIRST}.gz"])
@pytest.mark.parametrize("cut", [1, 30])
def test_a_file_that_is_there_with_another_content_is_refused_and_kept(mirror, tmp_path, name, cut):
    whole = PLAIN[FIRST] if name == FIRST else gzip.compress(PLAIN[FIRST])
    (tmp_path / name).write_bytes(whole[:-cut])
    with refused(f"file = .*{name}", SUMS[FIRST], "written over"):
        fetch(tmp_path, mirror)
    assert (tmp_path / name).read_bytes() == whole[:-cut]
    assert mirror.asked == []


@pytest.mark.parametrize("wrong", [[], "http://127.0.0.1/mnist/"])
def test_mirrors_that_are_no_list_of_urls_are_refused(tmp_path, wrong):
    with refused("mirrors = ", "Allowed: ", "Why: "):
        fetch_mnist(tmp_path, wrong, SUMS)


# ------------------------------------------------------------------------------------------- the task and the model


def test_load_asks_for_what_is_missing_and_says_so_where_it_gets_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, nowhere())
    with refused("could not be fetched", str(tmp_path / "mnist"), error=OSError):
        nb.tasks.SequentialDigits.load("mnist", data_dir=tmp_path, download=True)
    with refused("MNIST is not in", "--download", error=FileNotFoundError):
        nb.tasks.SequentialDigits.load("mnist", data_dir=tmp_path)


def test_other_digits_in_the_place_of_mnist_are_read_unless_mnist_is_asked_for(tmp_path):
    write_mnist(tmp_path, True)
    before = contents(tmp_path)
    assert nb.tasks.SequentialDigits.load("mnist", data_dir=tmp_path).n_steps == 5
    with refused("without --download"):
        nb.tasks.SequentialDigits.load("mnist", data_dir=tmp_path, download=True)
    assert contents(tmp_path) == before


def test_the_model_ends_with_status_2_where_it_gets_nothing(tmp_path, monkeypatch, script):
    monkeypatch.setenv(MIRROR_VARIABLE, nowhere())
    words = ("--dataset", "mnist", "--download", "--data-dir", tmp_path / "data", "--output", tmp_path / "run")
    status, _, err = script("models/sequential_digits.py", *words)
    assert status == 2
    assert f"error: {FIRST}.gz could not be fetched" in err
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------------------ the real one


def test_checksums_are_those_of_the_real_files_and_nothing_is_fetched_where_they_lie(monkeypatch):
    place = os.environ.get("NEURO_BPL_DATA")
    if not place or not (Path(place) / "mnist").is_dir():
        pytest.skip("NEURO_BPL_DATA names no folder with mnist/")
    folder = Path(place) / "mnist"
    found = {name: hashlib.sha256(content(find(folder, name))).hexdigest() for name in FILES}
    assert found == CHECKSUMS
    fetch_mnist(folder, [nowhere()])


def test_every_file_has_a_checksum_and_mirrors_are_folders_on_the_web():
    assert set(CHECKSUMS) == set(FILES)
    assert all(url.startswith("https://") and url.endswith("/") for url in MIRRORS)
