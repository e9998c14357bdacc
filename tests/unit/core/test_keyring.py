"""Secrets show themselves to nobody, and open with the key that sealed them."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
import subprocess
import sys

import pytest
from pydantic import BaseModel

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.keyring import Keyring, Secret
from nexus_actors.core.settings import CoreSettings


def make_key() -> Secret:
    return Secret(base64.urlsafe_b64encode(os.urandom(32)).decode())


def test_a_secret_is_seen_only_by_who_asks_for_it() -> None:
    class Holder(BaseModel):
        token: Secret

    secret = Secret("s3cret")
    holder = Holder(token=secret)

    assert secret.get_secret_value() == "s3cret"
    shown = f"{secret} {secret!r} {secret!s:>20} {[secret]} {holder}"
    assert "s3cret" not in shown
    assert "s3cret" not in holder.model_dump_json()
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps({"token": secret})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps({"token": secret}, protocol)


def test_a_secret_can_be_copied_and_compared() -> None:
    secret = Secret("s3cret")

    assert copy.copy(secret) == copy.deepcopy([secret])[0] == Secret("s3cret")
    assert secret != Secret("other")


@pytest.mark.parametrize("value", ["text", {"access_token": "ä", "n": [1, None]}, None])
def test_what_is_sealed_is_unseen_until_it_is_unsealed(value: object) -> None:
    keyring = Keyring(make_key())

    sealed = keyring.seal(value, context="message 1")

    assert keyring.unseal(sealed, context="message 1") == value
    assert "access_token" not in sealed
    assert sealed != keyring.seal(value, context="message 1")


def test_a_new_first_key_seals_and_the_old_one_still_unseals() -> None:
    old, new = make_key(), make_key()
    sealed = Keyring(old).seal("s3cret", context="here")
    both = Keyring(new, old)

    assert both.unseal(sealed, context="here") == "s3cret"
    assert not both.is_current(sealed)
    assert both.is_current(both.seal("s3cret", context="here"))


def test_without_its_key_a_sealed_value_names_the_key_that_is_needed() -> None:
    one, other = Keyring(make_key()), Keyring(make_key())

    with pytest.raises(ConfigurationError, match=one.current) as caught:
        other.unseal(one.seal("s3cret", context="here"), context="here")

    assert "NEXUS_SECRET_KEY" in caught.value.message


def test_a_sealed_value_that_was_moved_or_altered_does_not_open() -> None:
    keyring = Keyring(make_key())
    sealed = keyring.seal("s3cret", context="account a")
    head, _, body = sealed.rpartition(":")
    raw = bytearray(base64.urlsafe_b64decode(body))

    with pytest.raises(ConfigurationError, match="belongs elsewhere"):
        keyring.unseal(sealed, context="account b")
    for position in range(len(raw)):
        raw[position] ^= 1
        altered = f"{head}:{base64.urlsafe_b64encode(raw).decode()}"
        with pytest.raises(ConfigurationError, match="altered"):
            keyring.unseal(altered, context="account a")
        raw[position] ^= 1
    for cut in range(len(body)):
        with pytest.raises(ConfigurationError):
            keyring.unseal(f"{head}:{body[:cut]}", context="account a")


@pytest.mark.parametrize("text", ["tooshort", "!" * 43, "a" * 64])
def test_a_malformed_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match="key 2 is not 32 bytes") as caught:
        Keyring(make_key(), Secret(text))

    assert text not in caught.value.message
    assert "token_urlsafe" in caught.value.message


def test_keys_come_from_one_setting_and_are_shown_nowhere() -> None:
    keys = [make_key().get_secret_value() for _ in range(2)]
    settings = CoreSettings.load({"secret_key": ",\n".join(keys)})

    keyring = Keyring.from_settings(settings)

    first = Keyring(Secret(keys[0]))
    assert keyring.unseal(first.seal(1, context="here"), context="here") == 1
    assert keyring.current == first.current
    shown = f"{settings!r} {keyring!r} {vars(keyring)}"
    assert not any(key.strip("=") in shown for key in keys)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(keyring)


def test_without_a_key_nothing_is_sealed_and_it_is_said_how_to_make_one() -> None:
    with pytest.raises(ConfigurationError, match=r"is not set; .*token_urlsafe"):
        Keyring.from_settings(CoreSettings.load())


def test_a_missing_cryptography_is_told_with_the_command_that_installs_it() -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from nexus_actors.core.keyring import Keyring, Secret\n"
        "Keyring(Secret('x'))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert 'pip install "nexus-actors[database]"' in done.stderr.splitlines()[-1]
