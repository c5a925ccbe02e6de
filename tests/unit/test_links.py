import pytest

from nodes.links import encrypted, fusion_endpoint
from pipeline.config.deployment import Deployment
from pipeline.sources.base import SourceSettings


def deployment(listen="tcp://127.0.0.1:7710", curve="auto", fusion=None):
    return Deployment.model_validate(
        {
            "name": "site",
            "nodes": {"edge": {"sources": [SourceSettings(type="any")], "fusion": fusion}},
            "scenes": {"hall": {"streams": ["cam"]}},
            "fusion": {"listen": listen},
            "security": {"curve": curve},
        }
    )


@pytest.mark.parametrize("listen", ["tcp://0.0.0.0:7710", "tcp://*:7710"])
def test_a_node_on_the_same_machine_reaches_a_wildcard_by_the_loopback(listen):
    assert fusion_endpoint(deployment(listen), "edge") == "tcp://127.0.0.1:7710"


def test_a_node_elsewhere_goes_where_it_is_told():
    site = deployment("tcp://0.0.0.0:7710", fusion="tcp://10.0.0.5:7710")
    assert fusion_endpoint(site, "edge") == "tcp://10.0.0.5:7710"


@pytest.mark.parametrize(
    ("listen", "connect", "curve", "expected"),
    [
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1", "auto", False),
        ("tcp://0.0.0.0:1", "tcp://127.0.0.1:1", "auto", True),
        ("tcp://127.0.0.1:1", "tcp://10.0.0.5:1", "auto", True),
        ("tcp://0.0.0.0:1", "tcp://10.0.0.5:1", "off", False),
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1", "on", True),
    ],
)
def test_both_ends_agree_on_encryption(listen, connect, curve, expected):
    assert encrypted(deployment(curve=curve), listen, connect) is expected
