"""Public recordings: where they are, what they are, and a folder of them, fetched only when asked for."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neuro_bpl.data_files import check_sha256, data_folder, download, expect_content
from neuro_bpl.refusals import nearest, refusal

MIRROR_VARIABLE = "NEURO_BPL_RECORDINGS_URL"
FOLDER = "neural"  # of the data folder


@dataclass(frozen=True)
class Recording:
    """One public recording.

    Attributes
    ----------
    files : mapping of str to str
        SHA-256 of each file, by its path in the folder of recordings.
    folders : tuple of str
        URLs of folders that have the files, in the order of asking; none where files are made of the originals.
    originals : mapping of str to str
        Names of files in these folders, where they differ.
    source, licence, citation, format : str
        Where it comes from, how it may be used, the study, and what `read` calls it or which function reads it.
    """

    files: Mapping[str, str]
    folders: tuple[str, ...]
    source: str
    licence: str
    citation: str
    format: str
    originals: Mapping[str, str]

    def addresses(self, file: str) -> list[str]:
        """Return URLs of a file, in the order of asking: the mirror of one's own, else the public ones."""
        own = os.environ.get(MIRROR_VARIABLE)
        if own:
            return [f"{own.removesuffix('/')}/{file}"]
        return [f"{folder}/{self.originals.get(file, Path(file).name)}" for folder in self.folders]


HANKS_SESSIONS = {
    "B053_51344.mat": "b588660957e411f720df3401df7236b8a17b88070f7869df64b849bd67626619",
    "B053_52425.mat": "51cd07d2e7edc6f666d9e9fbaeefc9d934a8654da18a897cb664337a43b48034",
    "T011_153510.mat": "79d2564459569ad34cb13a7834de1e4ab5be05977f17d5ed85e5c69e9600ab4e",
    "T011_155954.mat": "8207192d1d1d33c957163668ffb870c729c617c571bf04bf5789f124d50be47b",
    "T034_151801.mat": "f0efdeb7f508dbfa7d867759bede386b42888044178f52872a4c4a9a79bc4ff4",
    "T034_152272.mat": "4225cc60942a463610535bdaa893cbcc7939c7cdb842de31faa45c7df083b913",
    "T034_152509.mat": "07cc2972da4ec02690f9ed547fd1d3207ad9473fdf12f5515521c95f08d990d3",
    "T035_152177.mat": "d13f7149098355c1673c16f5ca7652383bc0df337fc063eea25de18f94f22dbe",
    "T035_153536.mat": "4acc49c595ff30dd84f574e11803248a428522a957a058c1a2e78654442b7448",
    "T035_154440.mat": "709176a3558944f76c56d3ecb4f5e4372ddf9db08303e28a8bdb799511f4444b",
    "T035_156150.mat": "a594e0af08a18873d83bdf713b37e6501353087fe787b5c86dd0a69470aad15a",
    "T036_154291.mat": "4f2750daa1bd908571540e5332470ceb91f0e95e07a99db2fef438ac1a1ba40c",
    "T036_154991.mat": "caca09adb8f5ecf14503199167517efb13734a4f6dfac314a8e8a688083a7d4a",
    "T036_155247.mat": "d7b93d31db5287ed068cdb8165f2c70cccf53b5fc0d2c3a107ffa6245a1a77ec",
    "T063_191956.mat": "f5a6805d0e3bb9e308a06334ff931f188fa3b8f072591bb3a7ab9a8a93e878d8",
    "T063_194649.mat": "9b4db3348167cd04953f2f81c49b40d38248ec33c2164a35cdf35587b1a9db36",
}
RECORDINGS: Mapping[str, Recording] = {
    "hanks2015": Recording(
        files={f"hanks2015/{name}": checksum for name, checksum in HANKS_SESSIONS.items()},
        folders=tuple(
            f"https://raw.githubusercontent.com/Brody-Lab/{repository}/data/by_session"
            for repository in (
                "DePasquale-eLife-2022/a223a5648d43",
                "DePasquale-eLife-2024/fc91eb24c9c6ffedf367fa1ea510a7b83cc5fa01",
            )
        ),
        source="https://github.com/Brody-Lab/DePasquale-eLife-2022",
        licence="Apache-2.0",
        citation="Hanks et al. 2015, Nature 520:220; DePasquale, Brody & Pillow 2024, eLife 13:e84955",
        format="hanks",
        originals={},
    ),
    "golub2018": Recording(
        files={"golub2018_bci_m1.mat": "f28fab9442dd0564aab00597796785665f1c3d4b4437e3802c4c99c9696512b1"},
        folders=("https://raw.githubusercontent.com/mattgolub/bci_learning/3e6f00c95909",),
        source="https://github.com/mattgolub/bci_learning",
        licence="BSD-3-Clause",
        citation="Golub et al. 2018, Nature Neuroscience 21:607",
        format="golub",
        originals={"golub2018_bci_m1.mat": "exampleData.mat"},
    ),
    "deverett2018": Recording(
        files={"deverett2018_crusI_evidence.npz": "4a5a08c54ebc431db4db726fada832f14aeabc4cc4e495b3c07a3c7b25bb8cb7"},
        folders=(),
        source="https://github.com/wanglabprinceton/accumulating_puffs (figure_data, commit d3ed79c86cf6)",
        licence="Apache-2.0",
        citation="Deverett et al. 2018, eLife 7:e36781",
        format="read_deverett",
        originals={},
    ),
    "nguyen2023": Recording(
        files={"nguyen2023_mf_grc_connectome.npz": "d4dea14bfd6b8a25070b5daf86e68878ea5e252005c39a8601456a78f0645c63"},
        folders=(),
        source="https://github.com/htem/cb2_project_analysis (commit abb85f04c2b7)",
        licence="MIT",
        citation="Nguyen et al. 2023, Nature 613:543",
        format="read_connectome",
        originals={},
    ),
}


def fetch(name: str, folder: Path | str | None = None) -> list[Path]:
    """Return the files of a public recording; those that the folder lacks are downloaded.

    A file appears in the folder once its content is known to be right; one that is there already is checked, and
    neither fetched again nor written over.

    Parameters
    ----------
    name : str
        A key of `RECORDINGS`.
    folder : path, optional
        Where recordings lie. None: `neural` in the folder that NEURO_BPL_DATA names, else in `data/external`. The
        variable NEURO_BPL_RECORDINGS_URL names a mirror of one's own, with the files laid out as in this folder.

    Raises
    ------
    ValueError
        If there is no such recording, or a file that is there has another content.
    FileNotFoundError
        If a file is not there and lies at no public address.
    OSError
        If a file cannot be fetched; it says why, and where to put it by hand.

    Examples
    --------
    >>> fetch("hanks2016")
    Traceback (most recent call last):
    ValueError: recording = 'hanks2016' is not possible.
      Allowed: hanks2015, golub2018, deverett2018, nguyen2023.
      Why: these are known by address and checksum.
      Type: "hanks2015".
    """
    if not isinstance(name, str) or name not in RECORDINGS:
        why, fix = "these are known by address and checksum", f'"{nearest(str(name), list(RECORDINGS))}"'
        raise refusal("recording", name, ", ".join(RECORDINGS), why, fix)
    return [_fetch(RECORDINGS[name], path) for path in paths(name, folder)]


def paths(name: str, folder: Path | str | None = None) -> list[Path]:
    """Return where the files of a public recording lie, or will; nothing is looked at or fetched."""
    place = Path(folder) if folder is not None else data_folder(None) / FOLDER
    return [place / file for file in RECORDINGS[name].files]


def _fetch(recording: Recording, path: Path) -> Path:
    """Return one file, in place."""
    file = next(file for file in recording.files if path.as_posix().endswith(file))
    checksum = recording.files[file]

    def check(candidate: Path) -> None:
        check_sha256(candidate.read_bytes(), checksum)

    allowed = f"a file with SHA-256 {checksum}"
    if path.exists():
        expect_content(path, check, allowed, f"mv {path} {path}.old")
        return path
    addresses = recording.addresses(file)
    if not addresses:
        raise _nowhere(recording, path)
    fix = (
        f"the same again once this machine is connected, or put it at {path} by hand, or name a mirror of your own "
        f"with {MIRROR_VARIABLE}"
    )
    download(path, addresses, check, allowed, fix)
    return path


def _nowhere(recording: Recording, path: Path) -> FileNotFoundError:
    return FileNotFoundError(
        f"{path} is not there.\n  Allowed: a file with SHA-256 {recording.files[path.name]}.\n"
        f"  Why: it was packed again without pickles, and lies at no public address; originals: {recording.source}.\n"
        f"  Type: NEURO_BPL_DATA=… for a folder with {FOLDER}/{path.name}, or a mirror with {MIRROR_VARIABLE}=…."
    )
