"""The table of settings: what it reads, refuses and tells."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from engine.protocol.settings import (
    CHOICE,
    LIGHT,
    REAL,
    SAMPLING,
    SETTINGS,
    SWITCH,
    WHOLE,
    JobSettings,
    Setting,
    SettingError,
)

PLAIN = {"min_size": 64, "max_size": 1024, "stochastic": False, "steps": 0, "strength": None, "guidance": None}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_every_setting_is_whole(setting: Setting) -> None:
    assert setting.kind in (WHOLE, REAL, CHOICE, SWITCH)
    assert setting.read(None) == setting.default
    if setting.default is not None:
        assert setting.read(setting.default) == setting.default
    assert bool(setting.title) == bool(setting.tip)
    for number in (setting.low, setting.high) if setting.kind in (WHOLE, REAL) else setting.choices:
        assert setting.read(number) == number
    assert f"        {setting.name}: " in str(JobSettings.__doc__)


def test_settings_come_from_a_message_and_go_into_one() -> None:
    body = {"width": 64, "shading": 0, "gap": 12, "seed": None, "edges": "smooth", "unheard": object()}
    settings = JobSettings.read(body)
    assert settings == JobSettings(shading=0.0, gap=12, edges="smooth")
    assert settings.changed() == {"shading": 0.0, "gap": 12, "edges": "smooth"}
    assert isinstance(settings.shading, float)
    assert JobSettings.read(settings.changed()) == settings
    assert JobSettings().changed() == {}
    assert JobSettings(shading=1).changed() == {}
    assert JobSettings(seed=3, steps=4, variations=2).changed(SAMPLING) == {"variations": 2, "steps": 4}


def test_numbers_of_numpy_become_pythons_own() -> None:
    settings = JobSettings(seed=np.int64(5), strength=np.float32(0.5))  # type: ignore[arg-type]
    assert (type(settings.seed), type(settings.strength)) == (int, float)


@pytest.mark.parametrize(
    ("name", "values", "allowed"),
    [
        ("shading", [-0.1, 2.1, float("nan"), float("inf"), "1", True, [1]], "a number from 0 to 2"),
        ("gap", [-1, 1001, 2.5, "4", False], "a number from 0 to 1000"),
        ("edges", ["", "Smooth", 1, True, ["smooth"]], "one of crisp, smooth"),
        ("clipped", [0, 1, "yes"], "true or false"),
    ],
)
def test_what_a_setting_cannot_be_is_refused_with_name_and_range(name: str, values: list[Any], allowed: str) -> None:
    for value in values:
        with pytest.raises(SettingError) as failure:
            JobSettings(**{name: value})
        assert (failure.value.name, failure.value.allowed) == (name, allowed)
        assert str(failure.value) == f"'{name}' should be {allowed}"


@pytest.mark.parametrize(
    ("more", "understood"),
    [
        ({}, {"size"}),
        ({"max_size": 64}, set()),
        ({"stochastic": True}, {"size", "variations", "seed"}),
        ({"steps": 4}, {"size", "steps"}),
        ({"strength": 0.0, "guidance": 1.0}, {"size", "strength", "guidance"}),
    ],
)
def test_a_descriptor_says_which_settings_mean_anything(more: dict[str, Any], understood: set[str]) -> None:
    found = {name for name, setting in SETTINGS.items() if setting.understood({**PLAIN, **more})}
    # Light depends on no model.
    lights = {name for name, setting in SETTINGS.items() if setting.group == LIGHT}
    assert found == {"shading", "gap", "edges", "clipped", *lights, *understood}


def test_a_report_tells_what_holds_for_every_model() -> None:
    assert JobSettings(gap=3).told() == {"shading": 1.0, "gap": 3, "edges": "crisp"}
    assert [f.name for f in fields(JobSettings)] == list(SETTINGS)


def test_no_two_settings_have_one_row_of_the_docker() -> None:
    rows = [setting.row for setting in SETTINGS.values() if setting.title]
    assert sorted(rows) == list(range(1, len(rows) + 1))
