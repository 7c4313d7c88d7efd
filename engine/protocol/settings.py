"""The settings of a job, each declared once: the fields of ``JobSettings``.

The command line's options, the protocol's checks, the records of a batch, the pipeline and the widgets of the docker
are made from this table: a new setting is a field here and the code that obeys it. Python 3.8 and the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any

from .limits import MAX_SEED, MAX_SIDE, MAX_VARIATIONS

WHOLE, REAL, CHOICE, SWITCH = "whole", "real", "choice", "switch"
"""Kinds of settings: an int, a float, one of some texts, a bool."""
SAMPLING = "sampling"
"""The group of what only a model that samples understands; others are asked for none of it."""
LIGHT = "light"
"""The group of what only a job with a light has."""
PERCENT = "%"
"""The unit of a fraction that people are shown in per cent."""


class SettingError(ValueError):
    """A value that a setting cannot have.

    Attributes:
        name: of the setting.
        allowed: what it can have, in words: "a number from 0 to 2".
    """

    def __init__(self, name: str, allowed: str) -> None:
        super().__init__(f"'{name}' should be {allowed}")
        self.name, self.allowed = name, allowed


@dataclass(frozen=True)
class Setting:
    """What there is to know of a setting. Texts are English; the docker translates them.

    Attributes:
        name: in messages, and with dashes before it on the command line.
        default: where nothing is asked for; None leaves it to the model or the drawing.
        kind: ``WHOLE``, ``REAL``, ``CHOICE`` or ``SWITCH``.
        low: smallest number.
        high: largest number.
        choices: for a ``CHOICE`` each value and what people call it.
        group: ``SAMPLING``, ``LIGHT``, or empty for what every model understands.
        needs: attribute of a model's descriptor that says whether the setting means anything to the model; empty for
            one that always does. Without a value, false, or a count of 0 says no.
        bounds: attributes of the descriptor with the smallest and the largest number and the step for that model.
        per_model: each model has a default of its own, the descriptor's attribute of the setting's name.
        unit: behind a number; ``PERCENT`` shows a fraction in per cent.
        help: line in the help of the command line; empty = not offered there.
        title: label in the docker; empty = not offered there.
        row: place in the docker, from the top.
        tip: tooltip in the docker.
        step: between two numbers in the docker, in the unit.
        most: largest number in the docker, where its boxes hold less or more would be of no use.
    """

    name: str
    default: Any
    kind: str
    low: float = 0
    high: float = 0
    choices: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    needs: str = ""
    bounds: tuple[str, ...] = ()
    per_model: bool = False
    unit: str = ""
    help: str = ""
    title: str = ""
    row: int = 0
    tip: str = ""
    step: float = 1
    most: float | None = None

    @property
    def allowed(self) -> str:
        """The values it can have, in words."""
        if self.kind == SWITCH:
            return "true or false"
        if self.kind == CHOICE:
            return "one of " + ", ".join(self.choices)
        # A seed has more digits than ``g`` shows.
        low, high = (str(n) if isinstance(n, int) else f"{n:g}" for n in (self.low, self.high))
        return f"a number from {low} to {high}"

    def read(self, value: Any) -> Any:
        """The value in its own type; None is the default. A whole number will do for a real one.

        Raises:
            SettingError: it cannot be had.
        """
        if value is None:
            return self.default
        if self.kind == SWITCH:
            good = isinstance(value, bool)
        elif self.kind == CHOICE:
            good = isinstance(value, str) and value in self.choices
        else:
            number: Any = Integral if self.kind == WHOLE else Real
            # NaN compares as false, too, so it is refused.
            good = isinstance(value, number) and not isinstance(value, bool) and bool(self.low <= value <= self.high)
        if not good:
            raise SettingError(self.name, self.allowed)
        return {WHOLE: int, REAL: float}.get(self.kind, lambda same: same)(value)

    def understood(self, descriptor: Mapping[str, Any]) -> bool:
        """Whether it means anything to a model, by its descriptor."""
        if self.bounds and descriptor.get(self.bounds[1], 0) <= descriptor.get(self.bounds[0], 0):
            return False
        if not self.needs:
            return True
        value = descriptor.get(self.needs)
        # A real number is a default, and may be 0; a count of 0 is none.
        return value is not None and (isinstance(value, float) or bool(value))

    def texts(self) -> list[str]:
        """All that is to be translated."""
        return [t for t in (self.title, self.tip, self.suffix, *self.choices.values()) if t and self.title]

    @property
    def suffix(self) -> str:
        """The unit as it stands behind a number, with a space."""
        return f" {self.unit}" if self.unit else ""


def _setting(default: Any, kind: str, **about: Any) -> Any:
    return field(default=default, metadata={"kind": kind, **about})


@dataclass(frozen=True)
class JobSettings:
    """How a job is to be done. Options and messages have the settings in the order of the fields.

    Attributes:
        size: working short side in pixels; None = the model's own.
        seed: for models that sample; each further variation has the next number.
        shading: how strong light and shade are; 0 = flats alone, 1 = as was measured to fit best.
        gap: the widest gap in a line that is closed, in pixels of the canvas, 0 = none; None = judged by the drawing.
        edges: where two flats meet and no ink covers it, "crisp" or "smooth" (antialiased).
        strength: 0 = the model's best guess, 1 = free of it; None = the model's own.
        steps: of the sampling; None = the model's own.
        guidance: how much more it listens to the hints; 1 = as it learnt; None = the model's own.
        variations: how many pictures to make.
        light: direction the light comes from in degrees, 0 = from the right, 90 = from above, counter-clockwise; None =
            none, and the model's own shading.
        light_style: soft, cel, or rim = soft with light on the outlines towards the light.
        light_tones: of cel: 2 = flat and shadow, 3 = a light, too.
        light_elevation: degrees of the light above the picture's plane.
        light_ambient: light that reaches shadows: 1 = none is left.
        light_strength: of shadow and light.
        light_contact: shadow of what is in front on what is just behind it.
        light_tint: cooler shadows and warmer light, by each colour; else grey.
        light_ground: light the ground as well.
        clipped: shading, shadow and light are for laying with the alpha below them kept, see ``shading_layer``.

    Raises:
        SettingError: a value of the wrong type or out of range.
    """

    size: int | None = _setting(
        None,
        WHOLE,
        low=1,
        high=MAX_SIDE,
        bounds=("min_size", "max_size", "stride"),
        per_model=True,
        unit="px",
        help="Short side the model works at, in pixels; its own choice without.",
        title="Detail",
        row=1,
        tip="Short side of the picture that the model works on. Larger sees finer detail and takes longer",
    )
    seed: int = _setting(
        0,
        WHOLE,
        high=MAX_SEED,
        needs="stochastic",
        help="For models that sample: the same seed gives the same picture again.",
        title="Seed",
        row=6,
        tip="The same seed gives the same result again; another one a different result",
        most=2**31 - MAX_VARIATIONS,
    )
    shading: float = _setting(
        1.0,
        REAL,
        high=2.0,
        unit=PERCENT,
        help="Strength of light and shade: 0 = flat colours alone, up to 2.",
        title="Shade",
        row=2,
        tip="How strong light and shade are: 0 % is flat colours alone, 100 % as the model has learned",
        step=10,
    )
    gap: int | None = _setting(
        None,
        WHOLE,
        high=1000,
        unit="px",
        help="Widest gap in a line to close, in pixels; judged by eye without.",
        title="Gap size",
        row=3,
        tip="The widest gap in a line that is closed, in pixels of the image: raise it where colour leaks, "
        "lower it where an opening is meant. 0 closes none",
    )
    edges: str = _setting(
        "crisp",
        CHOICE,
        choices={"crisp": "Crisp", "smooth": "Smooth"},
        help="Where two flats meet and no ink covers it: crisp, or smooth (antialiased).",
        title="Edges",
        row=4,
        tip="How two colours meet where no line hides it: crisp, so that each can be selected whole, or smooth, "
        "without steps under thin or pale lines",
    )
    strength: float | None = _setting(
        None,
        REAL,
        high=1.0,
        group=SAMPLING,
        needs="strength",
        per_model=True,
        unit=PERCENT,
        help="For models that sample: 0 = the best guess, 1 = free of it; the model's own without.",
        title="Strength",
        row=8,
        tip="How far the model may go from its best guess: 0 % is the guess itself, 100 % is free",
        step=5,
    )
    steps: int | None = _setting(
        None,
        WHOLE,
        low=1,
        high=1000,
        group=SAMPLING,
        needs="steps",
        per_model=True,
        help="Sampling steps; more are slower and a little finer.",
        title="Steps",
        row=7,
        tip="Rounds that the model takes. More is slower and often cleaner",
        most=200,
    )
    guidance: float | None = _setting(
        None,
        REAL,
        high=20.0,
        group=SAMPLING,
        needs="guidance",
        per_model=True,
        help="1 = as it learnt, more = listens more to the hints.",
        title="Guidance",
        row=9,
        tip="How closely the model keeps to your hints: 1 as it has learned to; any other takes twice as long",
        step=0.5,
    )
    variations: int = _setting(
        1,
        WHOLE,
        low=1,
        high=MAX_VARIATIONS,
        group=SAMPLING,
        needs="stochastic",
        help="Pictures to make.",
        title="Variations",
        row=5,
        tip="How many different results to make",
    )
    light: float | None = _setting(
        None,
        REAL,
        group=LIGHT,
        low=-360,
        high=360,
        unit="°",
        help="Direction the light comes from in degrees, counter-clockwise: 0 = right, 90 = above. The model's own "
        "shading without.",
    )
    light_style: str = _setting(
        "soft",
        CHOICE,
        group=LIGHT,
        choices={"soft": "Soft", "cel": "Cel", "rim": "Rim"},
        help="How the light looks.",
    )
    light_tones: int = _setting(2, WHOLE, group=LIGHT, low=2, high=3, help="Tones of cel style; 3 = with a highlight.")
    light_elevation: float = _setting(
        45.0, REAL, group=LIGHT, high=90, unit="°", help="Degrees of the light above the picture's plane."
    )
    light_ambient: float = _setting(
        0.3, REAL, group=LIGHT, high=1, unit=PERCENT, help="Light that reaches shadows: 0 = none, 1 = all."
    )
    light_strength: float = _setting(1.0, REAL, group=LIGHT, high=2, unit=PERCENT, help="Strength of shadow and light.")
    light_contact: float = _setting(
        1.0,
        REAL,
        group=LIGHT,
        high=1,
        unit=PERCENT,
        help="Shadows of what is in front on what is just behind it; 0 = none.",
    )
    light_tint: bool = _setting(True, SWITCH, group=LIGHT, help="Cooler shadows and warmer light, or grey ones.")
    light_ground: bool = _setting(False, SWITCH, group=LIGHT, help="Light the ground as well.")
    clipped: bool = _setting(False, SWITCH)

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            object.__setattr__(self, name, setting.read(getattr(self, name)))

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> JobSettings:
        """The settings of a message; keys that are none are left alone.

        Raises:
            SettingError: a value of the wrong type or out of range.
        """
        return cls(**{name: values[name] for name in SETTINGS if name in values})

    def changed(self, group: str | None = None) -> dict[str, Any]:
        """What is not as by default, as a message and a record hold it; of one group where one is named."""
        found = {name: getattr(self, name) for name, s in SETTINGS.items() if group in (None, s.group)}
        return {name: value for name, value in found.items() if value != SETTINGS[name].default}

    def told(self) -> dict[str, Any]:
        """What holds for every model, for a report: what is offered on the command line and no model decides."""
        unlit = self.light is None
        told = {n: s for n, s in SETTINGS.items() if s.help and not s.needs and not s.per_model}
        return {n: getattr(self, n) for n, s in told.items() if not (unlit and s.group == LIGHT)}


SETTINGS: dict[str, Setting] = {
    f.name: Setting(name=f.name, default=f.default, **f.metadata) for f in fields(JobSettings)
}
"""All settings by name, in the order of the fields."""
