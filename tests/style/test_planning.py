"""The plan: tiles where the memory wants them, and figures that come true."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from data.errors import ArgumentError
from style.config import StyleConfig
from style.network import StyleNetwork
from style.planning import Cost, Room, TileChoice, make_plan, measure_cost
from style.tiling import Cutter

CPU = torch.device("cpu")
COST = Cost(held=100.0, looked=1000.0, step=1e-6, look=0.25e-6, fixed=0.001)
SCHEDULE = [((60, 80), 10), ((120, 160), 5)]


@pytest.fixture
def cutter(network: StyleNetwork) -> Cutter:
    return Cutter(network, torch.zeros(1))


def test_what_fits_is_painted_in_one_piece(cutter: Cutter) -> None:
    plan = make_plan(SCHEDULE, COST, cutter, Room(memory=0.1), CPU)
    assert [scale.tile for scale in plan.scales] == [None, None]
    assert plan.memory == 1100 * 120 * 160
    assert plan.seconds == pytest.approx(10 * (0.001 + 4800e-6) + 5 * (0.001 + 19200e-6))
    assert json.loads(json.dumps(plan.as_json()))["scales"][1]["size"] == [160, 120]


def test_what_does_not_is_painted_in_the_largest_tiles_that_do(cutter: Cutter) -> None:
    room = Room(memory=0.010)
    plan = make_plan(SCHEDULE, COST, cutter, room, CPU)
    coarse, fine = plan.scales
    assert coarse.tile is None
    assert fine.tile == 88  # √((10 MB − 100 · 19,200) / 1000), down to the stride of 4
    assert fine.memory <= plan.limit == 10_000_000
    whole = 5 * (0.001 + 1e-6 * 19200)
    assert fine.seconds > 1.25 * whole  # a look more, and overlaps


def test_what_does_not_fit_in_any_tile_is_refused_with_a_size_that_would(cutter: Cutter) -> None:
    with pytest.raises(ArgumentError, match=r"needs about .* such as (\d+), or") as refused:
        make_plan(SCHEDULE, COST, cutter, Room(memory=0.001), CPU)
    assert "--memory" in str(refused.value)
    anyway = make_plan(SCHEDULE, COST, cutter, Room(memory=0.001, tile="none"), CPU)
    assert anyway.scales[-1].tile is None


def test_tiles_that_are_asked_for_are_taken_where_the_picture_is_larger(cutter: Cutter) -> None:
    plan = make_plan(SCHEDULE, COST, cutter, Room(tile=100), CPU)
    assert [scale.tile for scale in plan.scales] == [None, 100]


@pytest.mark.parametrize("tile", ["some", 31, -1, "31", True, 1.5])
def test_senseless_tiles_are_refused(tile: object) -> None:
    with pytest.raises(ArgumentError, match="tile must be one of auto, none, or a whole number"):
        Room(tile=tile)  # type: ignore[arg-type]


def test_room_understands_text() -> None:
    assert Room(tile="128").tile == 128  # type: ignore[arg-type]
    assert Room(tile="auto").tile is TileChoice.AUTO  # type: ignore[arg-type]
    for memory in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="memory must be a number above 0"):
            Room(memory=memory)


def test_a_look_costs_what_its_maps_take(network: StyleNetwork) -> None:
    cost = measure_cost(network, StyleConfig(), CPU)
    maps = 4 * (8 + 12 / 16)  # bytes a pixel of the two taps
    assert 2 * maps < cost.looked < 8 * maps
    assert cost.step >= cost.look > 0
    # One convolution more is a map more at least.
    more = replace(network, extract=lambda image: _twice(network, image))
    assert measure_cost(more, StyleConfig(), CPU).looked > cost.looked + 12


def _twice(network: StyleNetwork, image: Tensor) -> dict[str, Tensor]:
    return dict(network.extract((2 * image).sin()))


MEASURED = """
import re, sys, torch
from pathlib import Path
from backbones.registry import create
from style.config import PaintingPrecision, StyleConfig
from style.network import StyleNetwork
from style.stylize import stylize
from style.planning import Room
size, tile = int(sys.argv[1]), sys.argv[2]
config = StyleConfig(size=size, first_scale=size, steps=1, precision=PaintingPrecision.FLOAT32)
network = StyleNetwork.of(create("vgg19_quarter", seed=0), config)
picture = torch.rand(1, 3, size, size)
plans = []
painting = stylize(
    picture, [picture], config, network, room=Room(tile=tile), planned=plans.append
)
def peak():  # not ru_maxrss, which a process inherits from the one that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
for _ in painting:
    pass
after = peak()
print(plans[0].memory, (after - before) * 1024)
"""


@pytest.mark.parametrize(("size", "tile"), [(384, "none"), (576, "none"), (576, "256")])
def test_the_memory_comes_true(size: int, tile: str) -> None:
    command = [sys.executable, "-c", MEASURED, str(size), tile]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    planned, taken = map(int, told.split())
    assert 0.6 * taken < planned < 2.5 * taken, (planned, taken)
