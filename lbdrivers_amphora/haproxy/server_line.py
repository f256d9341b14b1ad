"""The words of a server: the same in haproxy.cfg and behind ``add server`` at run time.

Law: one order of options, the one below; ``parse`` reads no other.
"""

from __future__ import annotations

from functools import lru_cache

from lbdrivers_amphora.haproxy.ir import Check, Server


def bracketed(address: str) -> str:
    """IPv6 in brackets: HAProxy takes what follows the last colon for a port, where it allows one or not."""
    return f"[{address}]" if ":" in address else address


def endpoint(address: str, port: int) -> str:
    """``address:port``."""
    return f"{bracketed(address)}:{port}"


@lru_cache(maxsize=1024)
def check_words(check: Check) -> tuple[str, ...]:
    """``check ...`` with everything that belongs to it. Cached: the members of a pool share one."""
    words = ["check", *check.options, "inter", f"{check.interval}s", "fall", str(check.fall), "rise", str(check.rise)]
    if check.address is not None:
        words += ["addr", bracketed(check.address)]
    if check.port is not None:
        words += ["port", str(check.port)]
    return tuple(words)


def option_words(server: Server) -> list[str]:
    """Everything behind the weight."""
    number = [] if server.number is None else ["id", str(server.number)]
    return number + shared_words(server)


def shared_words(server: Server) -> list[str]:
    """What members of a pool mostly have in common: everything behind the weight and the number."""
    words: list[str] = []
    if server.check is not None:
        words += check_words(server.check)
    if server.proxy is not None:
        words.append(server.proxy)
    if server.backup:
        words.append("backup")
    if server.disabled:
        words.append("disabled")
    words += server.tls
    return words
