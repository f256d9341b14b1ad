"""What HAProxy says against a configuration is told of the object of the tree that it is about."""

from __future__ import annotations

import pytest
from support.bundles import bundle, facts, ident, listener, member, monitor, policy, pool, rule, tree

from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers_amphora.blame import blame
from lbdrivers_amphora.haproxy.culprit import culprits
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.translate import translate

_POOL = pool("shop", members=(member("blue"), member("green", "192.0.2.2")), healthmonitor=monitor())
_POLICY = policy("old", "REJECT", rule("path", "PATH", "STARTS_WITH", "/old"))
_TREE = tree((listener("front", default_pool_id=_POOL.id, l7policies=(_POLICY,)),), (_POOL,), name="web")
_TEXT = render(translate(bundle(_TREE), facts()))


def _line(beginning: str) -> int:
    return next(number for number, line in enumerate(_TEXT.split("\n"), 1) if line.strip().startswith(beginning))


def _at(beginning: str, words: str) -> str:
    place = f"[/var/lib/octavia/{_TREE.id}/haproxy.cfg.new:{_line(beginning)}]"
    return f"[NOTICE]   (7) : haproxy version is 2.6.12\n[ALERT]    (7) : config : parsing {place} : {words}\n"


@pytest.mark.parametrize(
    ("beginning", "kind", "name"),
    [
        (f"server {ident('green')}", "member", "green"),
        (f"backend {_POOL.id}", "pool", "shop"),
        ("balance", "pool", "shop"),
        ("bind", "listener", "front"),
        (f"acl {_POLICY.rules[0].id}", "l7rule", ""),
    ],
)
def test_the_line_tells_the_object_else_its_section_does(beginning: str, kind: str, name: str) -> None:
    (found,) = culprits(_at(beginning, "no such thing."), _TEXT, _TREE)
    assert (found.kind, found.name, found.words) == (kind, name, "no such thing.")
    assert (
        str(found) == f"{kind} {name!r} ({found.id}): no such thing." if name else f"{kind} {found.id}: no such thing."
    )


def test_files_in_the_folder_of_the_load_balancer_do_not_make_it_the_culprit() -> None:
    secure = tree((listener("secure", 443, protocol="TERMINATED_HTTPS", default_tls_container_ref="www"),))
    text = render(translate(bundle(secure), facts()))
    number = next(number for number, line in enumerate(text.split("\n"), 1) if " bind " in line)
    assert secure.id in text.split("\n")[number - 1]
    place = f"parsing [/x/haproxy.cfg.new:{number}]"
    said = f"[ALERT]    (7) : config : {place} : 'bind' : unable to load /x/{secure.id}/a.pem.\n"
    (found,) = culprits(said, text, secure)
    assert (found.kind, found.name) == ("listener", "secure")
    (found,) = culprits(f"[ALERT]    (7) : config : cannot open /x/{secure.id}/servers-state.\n", text, secure)
    assert found.kind == "loadbalancer"


def test_without_a_line_a_name_is_enough() -> None:
    said = f"[ALERT]    (7) : config : Proxy '{_TREE.listeners[0].id}': unable to find the certificate.\n"
    (found,) = culprits(said, _TEXT, _TREE)
    assert (found.kind, found.name) == ("listener", "front")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "[WARNING]  (7) : config : parsing [/x/haproxy.cfg:5] : unwise.\n",
        "[ALERT]    (7) : config : Fatal errors found in configuration.\n",
        "[ALERT]    (7) : config : parsing [/x/haproxy.cfg:3] : of the process as a whole.\n",
        "[ALERT]    (7) : config : parsing [/x/haproxy.cfg:99999] : behind the end.\n",
        f"[ALERT]    (7) : config : proxy '{ident('of somebody else')}' is bad.\n",
    ],
)
def test_what_names_nothing_of_the_tree_is_left_out(said: str) -> None:
    assert culprits(said, _TEXT, _TREE) == ()


def test_of_one_object_the_first_complaint_is_told_and_of_several_each() -> None:
    said = "".join(
        (
            _at(f"server {ident('green')}", "first."),
            _at(f"server {ident('green')}", "second."),
            _at("bind", "third."),
        )
    )
    found = culprits(said, _TEXT, _TREE)
    assert [(one.name, one.words) for one in found] == [("green", "first."), ("front", "third.")]


@pytest.mark.parametrize("kind", [PermanentError, TemporaryError])
def test_the_refusal_says_it_to_the_user_and_keeps_all_for_the_operator(
    kind: type[PermanentError] | type[TemporaryError],
) -> None:
    said = f"amphora 7: HTTP 400: {_at('bind', 'no.')}"
    told = blame(kind("the configuration was refused", said), _TEXT.encode(), _TREE)
    assert type(told) is kind
    assert told.user == f"HAProxy refused the configuration: listener 'front' ({_TREE.listeners[0].id}): no."
    assert told.operator == said
    if isinstance(told, PermanentError):
        assert told.object_id == _TREE.listeners[0].id
    same = kind("an appliance failed", "of another kind")
    assert blame(same, _TEXT.encode(), _TREE) is same
