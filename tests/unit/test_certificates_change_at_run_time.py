"""What a running HAProxy must be told of certificates; what it cannot be told is a reload, with the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.bundles import bundle, facts, ident, listener, member, pool, tree
from support.certificates import Authority

from lbdrivers.drivers.amphora import Bundle, TlsFiles
from lbdrivers.model.resources import Listener, Pool
from lbdrivers_amphora.haproxy import certificates
from lbdrivers_amphora.haproxy.certificates import Exchange, Files, Load, NotAtRuntime
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.parse import parse
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.translate import translate
from lbdrivers_amphora.haproxy.translate_tls import certificate_lists

FOLDER = f"{facts().certificate_path}/{ident('tree')}"
LIST = f"{ident('https')}.pem"


def named(made: Bundle) -> Bundle:
    """With files that are called after their references."""
    return replace(made, tls=TlsFiles({}, {(part, text): f"{text}.pem" for part, text in made.tls.names}))


def files(*listeners: Listener, pools: tuple[Pool, ...] = (), **digests: str) -> Files:
    made = named(bundle(tree(listeners, pools)))
    lists = {
        name: tuple(path.rpartition("/")[2] for path in certificates.listed(text.decode()))
        for name, text in certificate_lists(made, facts()).items()
    }
    known = {name: name for name in made.tls.names.values()} | {f"{name}.pem": text for name, text in digests.items()}
    return Files(translate(made, facts()), lists, known)


def https(name: str = "https", port: int = 443, **fields: Any) -> Listener:
    return listener(name, port, **({"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "a"} | fields))


def changed(before: Files, after: Files, **stores: str) -> Exchange:
    return certificates.exchange(FOLDER, before, after, {f"{k}.pem": f"{v}.pem" for k, v in stores.items()})


def named_alike(found: Exchange, before: Files, after: Files) -> tuple[Configuration, Configuration]:
    return found.in_names_of_process(before.configuration, after.configuration)


def load(kind: str, store: str, source: str | None = None, *, new: bool = False) -> Load:
    return Load(kind, f"{FOLDER}/{store}.pem", f"{FOLDER}/{source or store}.pem", new)


def test_the_same_again_needs_nothing() -> None:
    same = files(https(sni_container_refs=("b",), client_ca_tls_container_ref="c"))
    found = changed(same, same)
    assert (found.loads, found.gains, found.removals, found.stores) == ((), (), (), {})
    assert named_alike(found, same, same) == (same.configuration, same.configuration)


def test_another_default_certificate_takes_the_place_of_the_old_one() -> None:
    found = changed(files(https()), files(https(default_tls_container_ref="b")))
    assert found.loads == (load("cert", "a", "b"),)
    assert (found.gains, found.removals) == ((), ())
    assert found.stores == {"b.pem": "a.pem"}
    # And once more: the process still calls it "a".
    before, after = files(https(default_tls_container_ref="b")), files(https(default_tls_container_ref="c"))
    found = changed(before, after, b="a")
    assert (found.loads, found.stores) == ((load("cert", "a", "c"),), {"c.pem": "a.pem"})


def test_new_content_under_the_old_name_is_loaded() -> None:
    found = changed(files(https(), a="1"), files(https(), a="2"))
    assert found.loads == (load("cert", "a"),)


def test_certificates_join_behind_and_leave_from_anywhere() -> None:
    before = files(https(sni_container_refs=("b", "c")))
    found = changed(before, files(https(sni_container_refs=("c", "d"))))
    assert found.loads == (load("cert", "d", new=True),)
    assert found.gains == (f"add ssl crt-list {FOLDER}/{LIST} {FOLDER}/d.pem",)
    assert found.removals == (
        f"del ssl crt-list {FOLDER}/{LIST} {FOLDER}/b.pem",
        f"del ssl cert {FOLDER}/b.pem",
    )


def test_a_certificate_that_others_use_is_not_loaded_or_deleted() -> None:
    other = https("other", 444, default_tls_container_ref="b")
    found = changed(files(https(), other), files(https(sni_container_refs=("b",)), other))
    assert (found.loads, len(found.gains)) == ((), 1)
    found = changed(files(https(sni_container_refs=("b",)), other), files(https(), other))
    assert found.removals == (f"del ssl crt-list {FOLDER}/{LIST} {FOLDER}/b.pem",)


@pytest.mark.parametrize("changed_field", ["client_ca_tls_container_ref", "client_crl_container_ref"])
def test_which_clients_are_trusted_changes_by_a_reload(changed_field: str) -> None:
    fields = {"client_ca_tls_container_ref": "c", "client_crl_container_ref": "r"}
    with pytest.raises(NotAtRuntime, match="changes who is trusted"):
        changed(files(https(**fields)), files(https(**(fields | {changed_field: "d"}))))
    with pytest.raises(NotAtRuntime, match="changes who is trusted"):
        content = {fields[changed_field]: "renewed"}
        changed(files(https(**fields)), files(https(**fields), **content))


def backend(**fields: Any) -> tuple[Listener, Pool]:
    values = {"tls_enabled": True, "members": (member("m"), member("n", "192.0.2.2"))} | fields
    behind = pool(**values)
    return listener("http", 80, default_pool_id=behind.id), behind


def test_what_members_are_shown_is_loaded_in_place() -> None:
    (front, first), (_, second) = (
        backend(tls_container_ref=reference, ca_tls_container_ref="c") for reference in ("a", "b")
    )
    old, new = files(front, pools=(first,)), files(front, pools=(second,))
    found = changed(old, new)
    assert found.loads == (load("cert", "a", "b"),)
    # For everything else both files are the same.
    assert named_alike(found, old, new) == (old.configuration, old.configuration)


@pytest.mark.parametrize("fields", [{}, {"tls_container_ref": "a"}])
def test_which_members_are_trusted_changes_by_a_reload(fields: dict[str, str]) -> None:
    (front, first), (_, second) = (backend(ca_tls_container_ref=name, **fields) for name in ("c", "d"))
    with pytest.raises(NotAtRuntime, match="changes who is trusted"):
        changed(files(front, pools=(first,)), files(front, pools=(second,)))


def test_a_certificate_that_members_are_shown_too_stays_in_its_list() -> None:
    """It is exchanged where it is; to add it once more would leave two entries."""
    front = https("front", 444, sni_container_refs=("b",))
    (plain, first), (_, second) = (backend(tls_container_ref=reference) for reference in ("b", "d"))
    before, after = (
        files(front, plain, pools=(first,)),
        files(https("front", 444, sni_container_refs=("d",)), plain, pools=(second,)),
    )
    found = changed(before, after)
    assert found.loads == (load("cert", "b", "d"),)
    assert (found.gains, found.removals) == ((), ())


def test_an_empty_pool_has_its_files_loaded_before_its_first_member() -> None:
    (front, empty), (_, full) = backend(ca_tls_container_ref="c", members=()), backend(ca_tls_container_ref="c")
    found = changed(files(front, pools=(empty,)), files(front, pools=(full,)))
    assert found.loads == (load("ca-file", "c", new=True),)
    found = changed(files(front, pools=(full,)), files(front, pools=(empty,)))
    assert found.removals == (f"del ssl ca-file {FOLDER}/c.pem",)


def test_what_comes_back_is_read_back_by_name() -> None:
    before, after = files(https()), files(https(default_tls_container_ref="b"))
    _, wanted = named_alike(changed(before, after), before, after)
    assert parse(render(wanted)) == wanted


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"sni_container_refs": ("b", "c")}, {"sni_container_refs": ("c", "b")}, "another order"),
        ({"sni_container_refs": ("c",)}, {"sni_container_refs": ("b", "c")}, "another order"),
        (
            {"sni_container_refs": ("b",)},
            {"default_tls_container_ref": "b", "sni_container_refs": ("a",)},
            "taken",
        ),
    ],
)
def test_what_the_process_cannot_be_told_is_a_reload(before: Any, after: Any, reason: str) -> None:
    with pytest.raises(NotAtRuntime, match=reason):
        changed(files(https(**before)), files(https(**after)))


def test_one_file_does_not_become_two_nor_two_one() -> None:
    def both(first: str, second: str) -> Files:
        return files(https(default_tls_container_ref=first), https("other", 444, default_tls_container_ref=second))

    with pytest.raises(NotAtRuntime, match="becomes several"):
        changed(both("a", "a"), both("a", "b"))
    with pytest.raises(NotAtRuntime, match="become one"):
        changed(both("a", "b"), both("b", "b"))


def test_what_is_too_large_or_missing_is_a_reload() -> None:
    wanted = files(https(default_tls_container_ref="b"))
    with pytest.raises(NotAtRuntime, match="too large"):
        changed(files(https()), replace(wanted, sizes={"b.pem": 15_001}))
    with pytest.raises(NotAtRuntime, match="not there"):
        changed(files(https()), replace(wanted, digests={}))
    with pytest.raises(NotAtRuntime, match="list of certificates"):
        changed(replace(files(https()), lists={}), wanted)


def test_lists_with_options_are_another_controllers() -> None:
    assert certificates.listed("# comment\n/a/b.pem\n\n/a/c.pem\n") == ("/a/b.pem", "/a/c.pem")
    with pytest.raises(NotAtRuntime):
        certificates.listed("/a/b.pem [alpn h2] *.example.com\n")


def test_files_are_kept_as_long_as_any_text_mentions_them() -> None:
    text = f"bind x ssl crt-list '{FOLDER}/list.pem' ca-file {FOLDER}/c.pem\nserver s x ssl crt {FOLDER}/d.pem"
    lists = {"list.pem": f"{FOLDER}/a.pem [alpn h2]\n{FOLDER}/b.pem\n", "other.pem": f"{FOLDER}/e.pem"}
    assert certificates.kept(text, FOLDER, lists) == {"list.pem", "a.pem", "b.pem", "c.pem", "d.pem"}


AUTHORITY = Authority("authority")
WWW = AUTHORITY.issue("www.example.com")


def test_a_payload_has_no_empty_line_and_ends_with_one() -> None:
    first, second, third = certificates.commands(
        load("cert", "a", new=True), b"\n" + WWW.pem + b"\r\n\r\n" + WWW.key_pem
    )
    assert first == f"new ssl cert {FOLDER}/a.pem"
    assert third == f"commit ssl cert {FOLDER}/a.pem"
    assert second.startswith(f"set ssl cert {FOLDER}/a.pem <<\n-----BEGIN CERTIFICATE-----\n")
    assert "\n\n" not in second and "\r" not in second and second.endswith("-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        (("New empty certificate store 'x'!", "Transaction created for certificate x!", "Committing x\nSuccess!"), ""),
        (("New CA file created 'x'!", "transaction created for CA x!", "Committing x..\nSuccess!"), ""),
        (("Can't create, x already exists!", "Transaction updated for certificate x!", "Committing x.\nSuccess!"), ""),
        (("Can't replace a certificate which is not referenced by the configuration!",), "Can't replace"),
        (
            ("Transaction created for certificate x!", "inconsistencies between private key and certificate"),
            "inconsist",
        ),
        (("Transaction created for certificate x!", ""), "no answer"),
    ],
)
def test_complaints_are_told_from_answers(answers: tuple[str, ...], complaint: str) -> None:
    found = certificates.refused(answers)
    assert found.startswith(complaint) and bool(found) == bool(complaint)


def test_what_is_shown_must_be_what_was_given() -> None:
    other = AUTHORITY.issue("www.example.com")
    shown = f"Filename: x\nSHA1 FingerPrint: {WWW.fingerprint}\nSubject: /CN=x\n"
    assert certificates.shows(load("cert", "a"), shown, WWW.together + AUTHORITY.pem)
    assert not certificates.shows(load("cert", "a"), shown, other.together)
    assert certificates.shows(load("ca-file", "a"), shown, WWW.pem)
    assert not certificates.shows(load("ca-file", "a"), shown, WWW.pem + AUTHORITY.pem)
    assert certificates.shows(load("crl-file", "a"), "Certificate Revocation List #1:", b"")
    assert not certificates.shows(load("crl-file", "a"), "Unable to display", b"")
