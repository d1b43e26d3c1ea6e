# Sourced by the other scripts: creates .venv on first use, installs the pins of pyproject.toml, activates it.
# Installs again only when pyproject.toml or this file has changed since the last complete installation.
UV_VERSION=0.13.8
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$root/.venv"

find_python() {
    local name
    for name in python3.11 python3 python3.12 python; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "error: Python 3.11 or 3.12 was not found on PATH; install one (e.g. apt install python3.11-venv) and run again" >&2
    return 1
}

install_environment() {
    local wanted python
    wanted="$(cat "$root/pyproject.toml" "$root/scripts/setup_env.sh" | sha256sum | cut -d' ' -f1)"
    if [ "$(cat "$venv/installed" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    python="$(find_python)" || return 1
    echo "Installing the environment into .venv (once; 3 GB to download, 7 GB on disk)" >&2
    if [ ! -x "$venv/bin/python" ]; then
        rm -rf "$venv"
        "$python" -m venv "$venv" || return 1
    fi
    # Compiled once here: where Python is told to write no bytecode, every start would compile torch and all the rest anew.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION" || return 1
    "$venv/bin/uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" -e "$root[test]" || return 1
    echo "$wanted" > "$venv/installed"
}

install_environment || exit 1
. "$venv/bin/activate"
