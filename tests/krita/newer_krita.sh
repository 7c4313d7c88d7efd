#!/bin/sh
# Newer Kritas in Debian chroots, to run tests/krita in them by hand, as root: about 3 minutes and 3 GB each.
#   newer_krita.sh trixie|forky DIR        make the chroot: trixie has Krita 5.2.9 with Python 3.13, forky 5.3 with 3.14
#   newer_krita.sh run DIR [PYTEST ARGS]   run the Krita suite of this checkout in it; the engine runs outside, from .venv
#   newer_krita.sh remove DIR              unmount and delete it
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=/var/tmp/newer-krita   # the same path in and outside, for the homes; short, as paths of sockets must be

bind() {   # WHAT WHERE
    mkdir -p "$2"
    mountpoint -q "$2" || { mount --rbind "$1" "$2" && mount --make-rslave "$2"; }
}

mount_into() {
    mkdir -p "$work" "$1/host"
    mountpoint -q "$1/host" || mount --bind / "$1/host"   # for the engine, see engine-python
    for inside in "$1" "$1/host"; do
        bind /proc "$inside/proc"
        bind /dev "$inside/dev"
        bind "$work" "$inside$work"
        bind "$root" "$inside$root"
    done
    # The engine's Python is this machine's own: from inside it is reached through the root that is mounted there.
    cat > "$work/engine-python" <<END
#!/bin/sh
[ ! -d /host ] || exec /usr/sbin/chroot /host "$root/.venv/bin/python" "\$@"
exec "$root/.venv/bin/python" "\$@"
END
    chmod +x "$work/engine-python"
}

unmount_from() {
    for inside in "$1/host" "$1"; do
        for place in "$root" "$work" /dev /proc; do
            if mountpoint -q "$inside$place"; then umount -R "$inside$place"; fi
        done
    done
    if mountpoint -q "$1/host"; then umount -R "$1/host"; fi
    # What is still mounted there would be deleted with it, and that is this machine.
    if grep -q " $(realpath "$1")/" /proc/mounts; then
        echo "cannot unmount all of $1; see /proc/mounts" >&2
        exit 1
    fi
}

make_chroot() {
    command -v debootstrap >/dev/null || apt-get install -y -q --no-install-recommends debootstrap
    script=/usr/share/debootstrap/scripts/$1
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    mirror=$(apt-get indextargets --format '$(REPO_URI)' | head -n 1)   # the one that this machine uses already
    mkdir -p "$2"
    [ -e "$2/etc/debian_version" ] || debootstrap --variant=minbase "$1" "$2" "$mirror" "$script"
    mount_into "$2"
    cp /etc/resolv.conf "$2/etc/resolv.conf"
    chroot "$2" sh -c 'export DEBIAN_FRONTEND=noninteractive; apt-get update -q
        apt-get install -y -q --no-install-recommends krita python3-pyqt5 xvfb openbox xdotool \
            python3-pytest python3-pytest-timeout python3-numpy python3-pil'
}

case ${1:-} in
trixie | forky)
    make_chroot "$1" "$2"
    ;;
run)
    chroot=$2
    shift 2
    mount_into "$chroot"
    exec chroot "$chroot" env -C "$root" CI=true PYTHONDONTWRITEBYTECODE=1 \
        COLORIZE_TEST_CACHE="$work/cache" COLORIZE_TEST_ENGINE_PYTHON="$work/engine-python" \
        python3 -m pytest -p no:cacheprovider --basetemp "$work/$(basename "$chroot")" tests/krita "$@"
    ;;
remove)
    unmount_from "$2"
    rm -rf "$2"
    ;;
*)
    sed -n '2,5s/^# *//p' "$0"
    exit 2
    ;;
esac
