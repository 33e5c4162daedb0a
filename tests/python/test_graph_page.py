"""A graph as an HTML page: it is whole, and a browser draws, folds, searches, zooms."""
# SPDX-License-Identifier: Apache-2.0

import json
import re

import pytest

import moka
from moka import nn

from .browser import BROWSERS, Browser, find_browser

CONTROL = """moka-ir 1
graph main(%x: float32[n], %k: int, %c: bool) {
  state buffer written "last": float32[...] = float32[1] {0.0}
  %y = loop(%k, true, %x) (%i: int, %v: float32[n]) {
    %a = if %c {
      %p = mul(%v, 2.0) at "m.py":3 in "net.a"
      yield %p
    } else {
      %q = neg(%v)
      yield %q
    }
    yield true, %a
  }
  set "last"(%y)
  return %y as "</script><b>"
}
"""


def network():
    block = nn.Sequential(nn.Linear(8, 8), nn.GELU())
    return moka.jit.trace(nn.Sequential(block, nn.Linear(8, 3)).eval(), moka.randn(2, 8)).graph


def data_of(page):
    return json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_holds_the_whole_graph_and_loads_nothing():
    page = network().page("a <title>")
    data = data_of(page)
    assert (
        data["title"] == "a <title>"
        and "<title>" not in page.split("application/json")[1].split("<script>")[0]
    )
    nodes = data["main"]["nodes"]
    linear = next(node for node in nodes if node["op"] == "linear")
    assert (
        linear["scope"] == "0.0"
        and linear["arguments"] == ["input", "weight", "bias"]
        and linear["flop"] == 128
    )
    assert linear["file"] == "test_graph_page.py" and linear["line"] > 0
    states = {state["name"]: state for state in data["states"]}
    assert states["1.bias"]["value"].startswith("float32[3] {") and states["1.bias"]["kind"] == "parameter"
    assert re.fullmatch(r"float32\[8, 8\] \{.*\}", states["0.0.weight"]["value"])
    assert not re.search(r"""(src|href)\s*=|url\(|@import|fetch\(|https?://(?!www\.w3\.org/2000/svg)""", page)
    assert "default-src 'none'" in page


def test_blocks_constants_and_names_are_data():
    data = data_of(moka.parse_graph(CONTROL).page())
    loop = data["main"]["nodes"][0]
    branch = loop["blocks"]["body"]["nodes"][0]
    assert set(branch["blocks"]) == {"then", "else"}
    assert branch["blocks"]["then"]["nodes"][0]["inputs"][1] == {"value": "2.0", "type": "float"}
    assert data["names"] == ["</script><b>"]


def test_large_tensors_are_told_by_their_range():
    big = moka.jit.trace(nn.Linear(100, 10), moka.ones(1, 100)).graph
    value = {state["name"]: state["value"] for state in data_of(big.page())["states"]}["weight"]
    assert re.fullmatch(r"float32\[10, 100\]: least -0\.\S+, mean \S+, greatest 0\.\S+", value)


@pytest.mark.slow
def test_a_browser_draws_folds_searches_and_zooms(tmp_path):
    program = find_browser()
    assert program, f"none of {', '.join(BROWSERS)} is installed; ./dev setup --browser installs one"
    pages = {"network": network().page("a network"), "control": moka.parse_graph(CONTROL).page()}
    for name, text in pages.items():
        (tmp_path / f"{name}.html").write_text(text)
    with Browser(program, tmp_path / "profile") as browser:
        browser.open(tmp_path / "network.html")
        count = "document.querySelectorAll('svg .node').length"
        assert browser.value("document.title") == "a network"
        whole = browser.value(count)
        assert whole >= 5 and browser.value("document.querySelectorAll('svg .edge').length") >= 4
        browser.value("document.querySelector('#fold').click()")
        assert browser.value(count) == 4  # input, two modules, output
        browser.value("document.querySelector('svg .group').dispatchEvent(new MouseEvent('click'))")
        assert browser.value(count) > 4
        browser.value("document.querySelector('#unfold').click()")
        assert browser.value(count) == whole
        browser.value("document.querySelector('#states').click()")
        assert browser.value(count) == whole + 4
        found = browser.value(
            "(() => { const s = document.querySelector('#search'); s.value = 'gelu 0.1';"
            " s.dispatchEvent(new Event('input'));"
            " s.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'}));"
            " return ['#found', 'aside'].map(name => document.querySelector(name).textContent); })()"
        )
        assert found[0] == "1 found" and "gelu" in found[1] and "float32[batch, 8]" in found[1]
        before = browser.value("document.querySelector('#view').getAttribute('transform')")
        browser.value(
            "document.querySelector('svg').dispatchEvent(new WheelEvent('wheel', {deltaY: -300, clientX: 500,"
            " clientY: 300, cancelable: true}))"
        )
        assert browser.value("document.querySelector('#view').getAttribute('transform')") != before
        browser.open(tmp_path / "control.html")
        assert browser.value(count) == 15
        assert "</script><b>" in browser.value("document.querySelector('svg').textContent")
        assert browser.value("document.querySelectorAll('svg .edge.inner').length") == 4
        assert browser.complaints == []
