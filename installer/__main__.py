"""The command ``colorize-install``: puts Colorize into Krita, brings it up to date, checks it, takes it away."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from engine import __version__
from engine.cli.main import FAILED, Group, common
from engine.errors import ColorizeError
from installer import places
from installer.places import Krita, Machine, System


class Installer(Group):
    """Installs when nothing else is asked for."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command; ends in ``SystemExit``."""
        given = list(sys.argv[1:] if args is None else args)
        return super().main(given or ["--"], *rest, **extra)


_FILE = click.Path(path_type=Path, dir_okay=False)
_THERE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group("colorize-install", cls=Installer, invoke_without_command=True)
@click.option("--update", "action", flag_value="update", help="Bring an installed plugin up to date.")
@click.option("--remove", "action", flag_value="remove", help="Take the plugin away; your settings of it stay.")
@click.option("--check", "action", flag_value="check", help="Say what is wrong with an installed plugin.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--target", type=click.Path(path_type=Path), metavar="DIR", help="Krita's resource folder.")
@click.option("--all", "every", is_flag=True, help="Every Krita that is found.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--engine-python", type=click.Path(path_type=Path), metavar="PATH", help="Python that runs the engine.")
@click.option("--krita-python", metavar="VERSION", help="Bring wheels only for this Python inside Krita, such as 3.11.")
@click.option("--bundle", type=_THERE, metavar="FILE", help="Take the wheels from a file of `bundle`; no network.")
@click.version_option(__version__, package_name="krita-colorize", message="%(version)s")
@common
@click.pass_context
def main(
    context: click.Context,
    action: str | None,
    dry_run: bool,
    target: Path | None,
    every: bool,
    yes: bool,
    engine_python: Path | None,
    krita_python: str | None,
    bundle: Path | None,
    as_json: bool,
) -> None:
    """Put Colorize into Krita.

    Without a command the plugin is installed into the Krita of this user, with the libraries it needs.
    """
    if context.invoked_subcommand is not None:
        return
    machine = places.this_machine()
    chosen = _choose(machine, target, action or "install", every=every, ask=not (yes or as_json or dry_run))
    if action == "check":
        _check(context, chosen, machine, as_json=as_json)
        return
    say = (lambda _: None) if as_json else click.echo
    if action == "remove":
        _remove(chosen, machine, dry_run=dry_run, as_json=as_json, ask=not yes)
        return
    from installer.install import Installation, Request

    if krita_python is not None and not re.fullmatch(r"3\.\d+", krita_python):
        raise click.BadParameter(f"{krita_python} is no version such as 3.11", param_hint="--krita-python")
    request = Request(Path(sys.executable), engine_python, krita_python, bundle, update=action == "update")
    plans = [Installation(krita, machine, request) for krita in chosen]
    if dry_run:
        _tell(chosen, [plan.describe() for plan in plans], as_json=as_json)
        return
    notes = []
    for plan in plans:
        say(f"{plan.krita}")
        plan.run(say)
        notes += plan.notes()
        say("  installed; start Krita and open Settings > Dockers > Colorize")
    for note in dict.fromkeys(notes):
        say(f"note: {note}")
    if as_json:
        click.echo(json.dumps({"ok": True, "installed": [str(k.data) for k in chosen], "notes": notes}))


@main.command()
@click.argument("out", type=_FILE)
@click.option("--os", "system", type=click.Choice(["linux", "windows", "macos", "all"]), help="Default: this one.")
@common
def bundle(out: Path, system: str | None, as_json: bool) -> None:
    """Write the wheels into OUT, for `--bundle` on a computer without network."""
    from installer.pack import write_bundle

    machine = places.this_machine()
    count = write_bundle(out, _systems(system, machine), machine, _sayer(as_json=as_json))
    click.echo(json.dumps({"ok": True, "output": str(out), "wheels": count}) if as_json else f"{out}: {count} wheels")


@main.command()
@click.argument("out", type=_FILE)
@click.option("--os", "system", type=click.Choice(["linux", "windows", "macos", "all"]), help="Default: this one.")
@click.option("--bundle", type=_THERE, metavar="FILE", help="Take the wheels from a file of `bundle`; no network.")
@common
def pack(out: Path, system: str | None, bundle: Path | None, as_json: bool) -> None:
    """Write the plugin into OUT, for Krita's Tools > Scripts > Import Python Plugin from File."""
    from installer.pack import write_pack

    machine = places.this_machine()
    write_pack(out, _systems(system, machine), machine, bundle, _sayer(as_json=as_json))
    click.echo(json.dumps({"ok": True, "output": str(out)}) if as_json else f"{out}")


def _sayer(*, as_json: bool) -> Any:
    return (lambda _: None) if as_json else (lambda text: click.echo(text, err=True))


def _systems(system: str | None, machine: Machine) -> list[System]:
    from installer.pack import SYSTEMS

    return list(SYSTEMS) if system == "all" else [s for s in SYSTEMS if s == (system or machine.system)]


def _choose(machine: Machine, target: Path | None, action: str, *, every: bool, ask: bool) -> list[Krita]:
    """The Kritas that are meant; asks where there are several."""
    from installer.install import is_installed

    if target is not None:
        return [places.named_krita(target, machine)]
    found = places.find_kritas(machine)
    if not found:
        raise ColorizeError(
            "no Krita was found", "install Krita and start it once, or name its resource folder with --target"
        )
    if action != "install":
        found = [k for k in found if is_installed(k)]
        if not found:
            raise ColorizeError("the plugin is in no Krita of this user", "run `colorize-install` to install it")
    if len(found) == 1 or every or action == "check":
        return found
    for number, krita in enumerate(found, 1):
        click.echo(f"{number}  {krita}", err=True)
    if not ask or not sys.stdin.isatty():
        raise ColorizeError(
            f"there are {len(found)} Kritas", "choose one with --target DIR, or use --all", wrong_use=True
        )
    number = click.prompt("Which one", type=click.IntRange(1, len(found)), err=True)
    return [found[number - 1]]


def _tell(kritas: list[Krita], actions: list[list[str]], *, as_json: bool) -> None:
    """What would be done."""
    if as_json:
        told = [{"krita": k.title, "data": str(k.data), "actions": a} for k, a in zip(kritas, actions, strict=True)]
        click.echo(json.dumps({"ok": True, "dry_run": told}))
        return
    for krita, lines in zip(kritas, actions, strict=True):
        click.echo(f"{krita}")
        for line in lines or ["nothing to do"]:
            click.echo(f"  {line}")


def _remove(kritas: list[Krita], machine: Machine, *, dry_run: bool, as_json: bool, ask: bool) -> None:
    from installer.install import Removal

    plans = [Removal(krita, machine) for krita in kritas]
    if dry_run:
        _tell(kritas, [plan.describe() for plan in plans], as_json=as_json)
        return
    for plan in plans:
        if ask and not as_json and sys.stdin.isatty():
            click.confirm(f"Remove Colorize from {plan.krita}?", abort=True, err=True)
        plan.run()
        if not as_json:
            click.echo(f"removed from {plan.krita.data}")
    if as_json:
        click.echo(json.dumps({"ok": True, "removed": [str(k.data) for k in kritas]}))


def _check(context: click.Context, kritas: list[Krita], machine: Machine, *, as_json: bool) -> None:
    from installer.check import examine

    healthy, reports = True, []
    for krita in kritas:
        checks = []
        for check in examine(krita, machine):
            checks.append(asdict(check))
            healthy = healthy and check.status != "fail"
            if not as_json:
                remedy = f"; {check.remedy}" if check.remedy else ""
                click.echo(f"{check.status:<5} {check.name:<9} {check.finding}{remedy}")
        reports.append({"krita": krita.title, "data": str(krita.data), "checks": checks})
    if as_json:
        click.echo(json.dumps({"ok": healthy, "kritas": reports}))
    if not healthy:
        context.exit(FAILED)


if __name__ == "__main__":
    main(prog_name="colorize-install")
