"""The page's files: names, types, packing and hashes."""

import gzip
from pathlib import Path

from flask import Request
from werkzeug.test import EnvironBuilder

from blueprints.page_files import HEADERS, PageFile, file_response, read_files


def folder_of(tmp_path: Path) -> Path:
    (tmp_path / "vendor").mkdir()
    for name in ("index.html", "main.js", "vendor/lib.min.js", "vendor/LICENSE", ".hidden", "notes.py", "icon.svg"):
        (tmp_path / name).write_text(name * 50)
    return tmp_path


def asked(file: PageFile, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    environ = EnvironBuilder(method=method, headers=fields).get_environ()
    response = file_response(file, Request(environ))
    sent, _, headers = response.get_wsgi_response(environ)
    return response.status_code, dict(headers), b"".join(sent)


def test_files_have_the_names_of_the_folder(tmp_path: Path) -> None:
    files = read_files(folder_of(tmp_path))

    assert list(files) == ["icon.svg", "index.html", "main.js", "vendor/LICENSE", "vendor/lib.min.js"]
    assert files["main.js"].kind == "text/javascript; charset=utf-8"
    assert files["vendor/LICENSE"].kind.startswith("text/plain")


def test_a_file_is_packed_for_those_who_unpack_it(tmp_path: Path) -> None:
    file = read_files(folder_of(tmp_path))["main.js"]

    for accepts in ("", "identity", "br", "gzip;q=0"):
        status, headers, body = asked(file, Accept_Encoding=accepts)
        assert (status, body, headers.get("Content-Encoding")) == (200, b"main.js" * 50, None)
    status, headers, body = asked(file, Accept_Encoding="br, gzip")
    assert (status, gzip.decompress(body), headers["Content-Encoding"]) == (200, b"main.js" * 50, "gzip")
    assert int(headers["Content-Length"]) == len(body)


def test_a_file_that_does_not_shrink_is_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")

    _, headers, body = asked(read_files(tmp_path)["a.js"], Accept_Encoding="gzip")
    assert body == b"1" and "Content-Encoding" not in headers


def test_who_has_a_file_gets_its_headers_alone(tmp_path: Path) -> None:
    file = read_files(folder_of(tmp_path))["main.js"]

    for encoding in ("identity", "gzip"):
        tag = asked(file, Accept_Encoding=encoding)[1]["ETag"]
        status, headers, body = asked(file, Accept_Encoding=encoding, If_None_Match=f'"x", {tag}')
        assert (status, body, headers["ETag"]) == (304, b"", tag)
        assert headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
    assert asked(file, If_None_Match='"another"')[0] == 200
    assert asked(file, "HEAD")[2] == b""
