"""Public recordings from a server on this machine: whole files or none, and nothing written over."""

import hashlib
import http.server
import os
import socket
import threading
from pathlib import Path

import pytest
from tiny import contents, refused

from neuro_bpl.neural.sessions import fetching
from neuro_bpl.neural.sessions.fetching import MIRROR_VARIABLE, RECORDINGS, Recording, fetch
from neuro_bpl.neural.sessions.reading import READERS

FILES = {"rats/T034_1.mat": b"first session", "rats/T034_2.mat": b"second session", "monkey.mat": b"a monkey"}
SUMS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
ABOUT = {"source": "https://example.org/rats", "licence": "MIT", "citation": "nobody", "format": "hanks"}


class Server(http.server.ThreadingHTTPServer):
    """A server of files by their path; `asked` are the paths that were asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.asked = {}, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        body = self.server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
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
def server():
    started = Server()
    thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield started
    started.shutdown()
    thread.join()
    started.server_close()


@pytest.fixture
def known(monkeypatch, server):
    """Recordings of two rats, and of a monkey whose file is called otherwise where it comes from."""
    rats = {name: SUMS[name] for name in ("rats/T034_1.mat", "rats/T034_2.mat")}
    monkey = {"monkey.mat": SUMS["monkey.mat"]}
    here = {
        "rats": Recording(rats, (f"{server.url}/public",), originals={}, **ABOUT),
        "monkey": Recording(monkey, (f"{server.url}/lab",), originals={"monkey.mat": "example data.mat"}, **ABOUT),
        "packed": Recording(monkey, (), originals={}, **ABOUT),
    }
    monkeypatch.setattr(fetching, "RECORDINGS", here)
    server.files = {f"/public/{Path(name).name}": FILES[name] for name in rats}
    server.files["/lab/example%20data.mat"] = FILES["monkey.mat"]
    return here


def nowhere():
    """A URL at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_files_are_fetched_once_and_lie_in_their_place(known, server, tmp_path):
    paths = fetch("rats", tmp_path / "data")
    assert [path.relative_to(tmp_path / "data").as_posix() for path in paths] == list(known["rats"].files)
    assert [path.read_bytes() for path in paths] == [FILES[name] for name in known["rats"].files]
    before = contents(tmp_path)
    assert fetch("rats", tmp_path / "data") == paths
    assert contents(tmp_path) == before
    assert len(before) == len(server.asked) == 2


def test_a_file_may_be_called_otherwise_where_it_comes_from(known, tmp_path):
    (path,) = fetch("monkey", tmp_path)
    assert (path.name, path.read_bytes()) == ("monkey.mat", FILES["monkey.mat"])


def test_only_what_is_missing_is_fetched(known, server, tmp_path):
    (tmp_path / "rats").mkdir()
    (tmp_path / "rats/T034_1.mat").write_bytes(FILES["rats/T034_1.mat"])
    fetch("rats", tmp_path)
    assert server.asked == ["/public/T034_2.mat"]


def test_the_data_folder_is_where_the_variable_says(known, tmp_path, monkeypatch):
    monkeypatch.setenv("NEURO_BPL_DATA", str(tmp_path))
    assert fetch("monkey") == [tmp_path / "neural/monkey.mat"]


def test_the_variable_names_a_mirror_of_ones_own(known, server, tmp_path, monkeypatch):
    server.files = {f"/mine/{name}": content for name, content in FILES.items()}
    monkeypatch.setenv(MIRROR_VARIABLE, f"{server.url}/mine/")
    fetch("rats", tmp_path)
    fetch("packed", tmp_path)
    assert {name.as_posix(): content for name, content in contents(tmp_path).items()} == FILES


def test_where_one_address_fails_the_next_one_is_asked(known, server, tmp_path, monkeypatch):
    monkeypatch.setitem(
        known, "rats", Recording(known["rats"].files, (nowhere(), *known["rats"].folders), originals={}, **ABOUT)
    )
    with pytest.warns(RuntimeWarning, match=f"Asking {server.url}") as said:
        fetch("rats", tmp_path)
    assert len(said) == len(contents(tmp_path)) == 2


@pytest.mark.parametrize("wrong", [None, b"", b"<html>sign in</html>", FILES["rats/T034_2.mat"][:-1]])
def test_a_file_that_is_not_right_never_lies_in_the_folder(known, server, tmp_path, wrong):
    right = server.files["/public/T034_2.mat"]
    server.files["/public/T034_2.mat"] = wrong
    with refused("T034_2.mat could not be fetched", SUMS["rats/T034_2.mat"], "by hand", MIRROR_VARIABLE, error=OSError):
        fetch("rats", tmp_path)
    assert [name.as_posix() for name in contents(tmp_path)] == ["rats/T034_1.mat"]
    assert [path.name for path in (tmp_path / "rats").iterdir()] == ["T034_1.mat"]
    server.files["/public/T034_2.mat"] = right
    assert len(fetch("rats", tmp_path)) == len(contents(tmp_path)) == 2


def test_a_file_that_is_there_with_another_content_is_refused_and_kept(known, server, tmp_path):
    (tmp_path / "monkey.mat").write_bytes(b"mine")
    with refused("file = .*monkey.mat", SUMS["monkey.mat"], "written over", "mv "):
        fetch("monkey", tmp_path)
    assert (tmp_path / "monkey.mat").read_bytes() == b"mine"
    assert server.asked == []


def test_what_lies_at_no_public_address_is_read_from_the_folder_alone(known, server, tmp_path):
    with refused("monkey.mat is not there", "https://example.org/rats", "NEURO_BPL_DATA", error=FileNotFoundError):
        fetch("packed", tmp_path)
    (tmp_path / "monkey.mat").write_bytes(FILES["monkey.mat"])
    assert fetch("packed", tmp_path) == [tmp_path / "monkey.mat"]
    assert server.asked == []


def test_recordings_that_are_not_known_are_refused(tmp_path):
    with refused("recording = 'hanks'", '"hanks2015"'):
        fetch("hanks", tmp_path)


def test_every_recording_says_where_it_is_from_and_how_it_may_be_used():
    assert set(RECORDINGS) == {"hanks2015", "golub2018", "deverett2018", "nguyen2023"}
    assert len(RECORDINGS["hanks2015"].files) == 16
    for recording in RECORDINGS.values():
        assert recording.licence in ("Apache-2.0", "BSD-3-Clause", "MIT")
        assert recording.citation.split(" et al. ")[1][:2] == "20"
        assert recording.source.startswith("https://github.com/")
        assert all(len(checksum) == 64 for checksum in recording.files.values())
        assert set(recording.originals) <= set(recording.files)
        for file in recording.files:
            assert all(url.startswith("https://raw.githubusercontent.com/") for url in recording.addresses(file))
        assert recording.format in (*READERS, "read_deverett", "read_connectome")
    (golub,) = RECORDINGS["golub2018"].addresses("golub2018_bci_m1.mat")
    assert golub.endswith("/mattgolub/bci_learning/3e6f00c95909/exampleData.mat")


@pytest.mark.parametrize("name", RECORDINGS)
def test_checksums_are_those_of_the_real_files_and_nothing_is_fetched_where_they_lie(name, monkeypatch):
    place = os.environ.get("NEURO_BPL_DATA")
    files = RECORDINGS[name].files
    if not place or not all((Path(place) / "neural" / file).is_file() for file in files):
        pytest.skip(f"NEURO_BPL_DATA names no folder with the files of {name}")
    monkeypatch.setenv(MIRROR_VARIABLE, nowhere())
    assert len(fetch(name)) == len(files)
