"""Settings of the page, and the one sentence for each that cannot be served."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
import urllib.request

import pytest

from engine.app.settings import AppSettings, check_settings, is_loopback, listening
from engine.errors import ConfigError
from tests.app.conftest import running


def test_a_page_for_others_needs_a_token_and_a_certificate_for_the_microphone(tmp_path):
    here = AppSettings()
    assert (here.is_local, here.needed_token(), here.has_microphone, here.scheme) == (True, None, True, "http")
    assert AppSettings(token="long enough").needed_token() == "long enough"
    everywhere = AppSettings(host="0.0.0.0")
    tokens = {everywhere.needed_token() for _ in range(10)}
    assert len(tokens) == 10
    assert all(len(token) >= 24 for token in tokens)
    assert not everywhere.has_microphone
    secure = AppSettings(host="0.0.0.0", certfile=tmp_path / "a.pem", keyfile=tmp_path / "b.pem")
    assert (secure.has_microphone, secure.scheme) == (True, "https")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *((name, True) for name in ("127.0.0.1", "127.3.2.1", "::1", "localhost")),
        *((name, False) for name in ("0.0.0.0", "::", "192.168.1.2", "localhost.example.org")),
    ],
)
def test_loopback(host, local):
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"port": 70_000}, "expected a port from 0 to 65535, got 70000; choose another"),
        ({"token": "short"}, "expected a token of at least 8 characters, got 5; choose a longer one"),
        ({"token": "with; a semicolon"}, "expected a token of letters"),
        ({"certfile": "a.pem"}, "expected --certfile together with --keyfile, got --certfile alone; add --keyfile"),
        ({"keyfile": "a.pem"}, "expected --certfile together with --keyfile, got --keyfile alone; add --certfile"),
        ({"certfile": "no.pem", "keyfile": "no.pem"}, "expected a certificate and its key in PEM files, cannot use no"),
        ({"max_mb": 0.0}, "expected --max-mb above 0"),
        ({"max_minutes": float("nan")}, "expected --max-minutes above 0"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_settings(AppSettings(**options))


def test_a_port_that_is_taken_is_one_sentence():
    with (
        listening(AppSettings(port=0)) as taken,
        pytest.raises(ConfigError, match=r"expected a free port, cannot listen at 127\.0\.0\.1 port .*--port"),
    ):
        listening(AppSettings(port=taken.getsockname()[1]))
    with pytest.raises(ConfigError, match="expected an address of this machine, got 'no such host'"):
        listening(AppSettings(host="no such host"))


def test_without_gradio_there_is_one_sentence(engine, monkeypatch):
    monkeypatch.setattr("engine.app.server.find_spec", lambda name: None)
    code, out, err = engine("app")
    assert (code, out) == (2, b"")
    assert err == (
        "engine: expected gradio, which makes the page, found none; install it with pip install 'sound-engine[app]'\n"
    )


def test_the_command_fails_in_one_sentence(engine, tmp_path):
    with listening(AppSettings(port=0)) as taken:
        code, _, err = engine("app", "--port", taken.getsockname()[1])
    assert code == 2
    assert err.startswith("engine: expected a free port")
    assert err.count("\n") == 1
    code, _, err = engine("app", "--port", "0", "--model", "nothing")
    assert (code, err.count("\n")) == (1, 1)
    assert "expected the name of a model" in err


def test_a_page_over_https_answers_with_its_certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate: apt install openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(made, check=True, capture_output=True)
    with running("--certfile", certificate, "--keyfile", key) as address:
        assert address.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=certificate)
        with urllib.request.urlopen(address, context=trusting, timeout=30) as page:
            assert page.status == 200
            assert b"gradio_config" in page.read()


def test_help_costs_no_gradio():
    program = (
        "import sys; sys.argv = ['engine', 'app', '--help']; from engine.cli.main import main; code = main();"
        "assert 'gradio' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "--share-nothing" in done.stdout
