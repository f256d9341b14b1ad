"""``show stat`` becomes typed values, or is refused."""

from __future__ import annotations

import pytest

from lbdrivers_amphora.haproxy.stats import FrontendStatistics, ServerStatistics, parse_statistics

_HEAD = "# pxname,svname,scur,stot,bin,bout,ereq,status,weight,check_status,req_tot,"
_ROWS = """l1,FRONTEND,3,20,100,2000,4,OPEN,,,70,
l2,FRONTEND,0,3,1,2,0,OPEN,,,,
p1:l1,m1,1,5,50,60,,UP,1,L4OK,,
p1:l1,m2,0,5,50,60,,UP,0,* L7OK,,
p1:l1,m3,0,0,0,0,,DOWN 1/2,1,L4CON,,
p1:l1,m4,0,0,0,0,,no check,1,,,
p1:l1,BACKEND,1,5,100,120,,UP,1,,,
prometheus-exporter-internal,FRONTEND,1,1,1,1,1,OPEN,,,1,
prometheus-exporter-internal,BACKEND,1,1,1,1,,UP,1,,,
"""


def test_values() -> None:
    found = parse_statistics(f"{_HEAD}\n{_ROWS}\n")
    assert found.frontends == {
        "l1": FrontendStatistics("OPEN", 100, 2000, 3, 20, 4, requests=70),
        "l2": FrontendStatistics("OPEN", 1, 2, 0, 3, 0),
    }
    assert list(found.backends) == ["p1:l1"]
    assert found.backends["p1:l1"].status == "UP"
    assert found.backends["p1:l1"].servers == {
        "m1": ServerStatistics("UP", "L4OK", 1),
        "m2": ServerStatistics("DRAIN", "L7OK", 0),
        "m3": ServerStatistics("DOWN 1/2", "L4CON", 0),
        "m4": ServerStatistics("no check", "", 0),
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "begin with"),
        ("Permission denied\n", "begin with"),
        ("# pxname,svname,\n", "lack the columns"),
        (f"{_HEAD}\nl1,FRONTEND,x,20,100,2000,4,OPEN,,,,\n", "scur='x'"),
        (f"{_HEAD}\nl1,FRONTEND,-1,20,100,2000,4,OPEN,,,,\n", "scur='-1'"),
        (f"{_HEAD}\nl1,FRONTEND\n", "columns"),
    ],
)
def test_others_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_statistics(text)
