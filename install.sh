#!/bin/sh
# install.sh - installs plexum-minimax-provider for the user who runs it, or runs its tests.
#
#   ./install.sh                          install, or upgrade what is there (the key stays)
#   ./install.sh --allow                  also add it to plugins.allow in plexum.json
#   ./install.sh --api-key-stdin <file    also store the API key; it never is an argument
#   ./install.sh --test -- -k sse         run the tests; what follows -- goes to pytest
#
# Installing goes to ${PLEXUM_PROFILE_ROOT:-~/.plexum}/plugins/plexum-minimax-provider.
# If the Python it finds has no requests, the packages go into a directory of their own
# there. Nothing needs root, and nothing outside that directory is touched, except
# plexum.json with --allow.
#
#   --allow            add the plugin to plugins.allow in plexum.json (keeps a backup)
#   --api-key-stdin    read the API key from standard input into config.json
#   --region R         store the region, global or cn, in config.json
#   --offline          never use the network
#   --wheels DIR       take packages from DIR only, filled elsewhere by
#                      `python3 -m pip download -d DIR requests`; implies --offline
#   --no-demo          leave out the demo at the end
#   --upgrade          the same as no option
#   --dry-run          say what would be done and write nothing
#   --uninstall        remove what was installed; config.json stays
#   --test             run the tests with this Python if it has requests, pytest and
#                      hypothesis, else in a private environment, .venv-test
#   --matrix           with --test: every Python found, oldest and newest requests
#   --ends             with --matrix: only the oldest and the newest Python
#   --help             this text
#
# PYTHON=/path/to/python3 chooses the Python; otherwise python3 and python3.N on PATH are
# tried and one that has requests is preferred.
#
# Exit codes: 0 done; 1 a step failed, and the last line says which; 2 wrong options;
# 3 no Python 3.8 or newer, or no way to get requests; with --test, pytest's own.

set -eu

say() { printf '%s\n' "$@" 2>/dev/null || :; } # a line for each argument, if anybody listens
warn() { printf 'install.sh: %s\n' "$*" >&2; }
die() { # die SENTENCE [EXIT-CODE]
    warn "$1"
    exit "${2:-1}"
}
need() { # need COMMAND...
    for tool in "$@"; do
        command -v "$tool" >/dev/null 2>&1 || die "the command $tool is needed and not on PATH"
    done
}
miss() { failed=${failed:+$failed, }$1; } # a step after which the others are still done
usage_error() { die "$1; ./install.sh --help lists the options" 2; }

quoted() { # one shell word, whatever the argument holds
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}
shown() { # for commands to be copied: quoted only where it must be
    case $1 in
        *[!A-Za-z0-9_./+:@%,=-]*) quoted "$1" ;;
        *) printf '%s' "$1" ;;
    esac
}
absolute() {
    case $1 in
        /*) printf '%s' "$1" ;;
        *) printf '%s/%s' "$(pwd)" "$1" ;;
    esac
}

# ---- finding a Python --------------------------------------------------------------

# Pythons that decide or install something run in / and with -E: files in the working
# directory, PYTHONPATH and PYTHONHOME must not change what is found. They get no stdin,
# which may hold the API key. What they answer comes on descriptor 4 where start-up files,
# which may print what they like, have a say.
isolated() (
    cd /
    isolated_python=$1
    shift
    exec "$isolated_python" -E "$@" </dev/null
)

candidates() { # every python3 and python3.N on PATH, in its order
    (
        IFS=:
        for dir in $PATH; do
            for path in "$dir/python3" "$dir"/python3.[0-9] "$dir"/python3.[0-9][0-9]; do
                case $path in /*) [ ! -x "$path" ] || printf '%s\n' "$path" ;; esac
            done
        done
    )
}

probe() { # probe PYTHON MODULE...: "RANK MINOR EXECUTABLE", unless it is below 3.8
    # Rank 0 has the modules. When installing, an active virtual environment comes last:
    # those are deleted sooner than the plugin. The executable is the one behind a shim.
    probed=$1
    shift
    answer=$(isolated "$probed" -B -c '
import os, sys
if sys.version_info < (3, 8):
    sys.exit(1)
rank = 2 if sys.argv[1] == "install" and sys.prefix != sys.base_prefix else 0
try:
    for name in sys.argv[2:]:
        __import__(name)
except Exception:
    rank += 1
os.write(4, os.fsencode("%d %d %s" % (rank, sys.version_info[1], sys.executable)))
' "$mode" "$@" 4>&1 >/dev/null 2>&1) && [ -n "$answer" ] && say "$answer"
}

best_of() { # the best probe line of the candidates on stdin; the first one at a tie
    best=
    while read -r candidate; do
        line=$(probe "$candidate" "$@") || continue
        if [ -z "$best" ] || [ "${line%% *}" -lt "${best%% *}" ]; then
            best=$line
        fi
        case $best in 0*) break ;; esac
    done
    printf '%s' "$best"
}

find_python() { # find_python MODULE...: sets python, minor, and complete (yes or no)
    if [ -n "${PYTHON:-}" ]; then
        found=$(command -v "$PYTHON") || die "PYTHON=$PYTHON is not there" 3
        found=$(probe "$(absolute "$found")" "$@") ||
            die "PYTHON=$PYTHON is not a working Python 3.8 or newer" 3
    else
        found=$(candidates | best_of "$@")
        [ -n "$found" ] ||
            die "no Python 3.8 or newer on PATH; install one, or set PYTHON=/path/to/python3" 3
    fi
    case $found in [02]*) complete=yes ;; *) complete=no ;; esac
    found=${found#* }
    minor=${found%% *}
    python=${found#* }
}

# ---- requests ----------------------------------------------------------------------

can_import_requests() { # can_import_requests PATHS: the way the launcher will
    isolated "$python" -B -S -c '
import sys
sys.path += sys.argv[1].split("\n")
import requests
' "$1"
}

find_packages() { # sets packages, what the launcher adds to sys.path; no if requests is lacking
    if [ "$complete" = yes ]; then
        packages=$(isolated "$python" -B -S -c '
import os, site, sys
del sys.path[0]
bare = set(sys.path)
site.main()
os.write(4, os.fsencode("\n".join(path for path in sys.path if path not in bare)))
' 4>&1 >/dev/null)
        ! can_import_requests "$packages" 2>/dev/null || return 0
    fi
    for packages in "$target"/lib.*; do
        [ ! -d "$packages" ] || ! can_import_requests "$packages" 2>/dev/null || return 0
    done
    packages=
    return 1
}

pip_install() { # pip_install PYTHON ARGUMENT...; the user's pip configuration counts, except
    # for what would send the packages elsewhere. -qq: errors only.
    pip_python=$1
    shift
    if [ -n "$wheels" ]; then
        set -- --find-links "$wheels" "$@"
    fi
    if [ -n "$offline" ]; then
        set -- --no-index "$@"
    fi
    PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 isolated "$pip_python" -m pip install -qq \
        --disable-pip-version-check --no-input "$@"
}

unpack_wheels() { # pure Python wheels work once unzipped: this needs neither pip nor venv
    isolated "$python" -c '
import compileall, glob, os, re, sys, zipfile
wheels, lib = sys.argv[1:]
def version(path):
    return [int(n) for n in re.findall("[0-9]+", os.path.basename(path).split("-")[1])]
for name in ("requests", "urllib3", "idna", "certifi", "charset_normalizer", "chardet"):
    found = glob.glob(os.path.join(glob.escape(wheels), name + "-*.whl"))
    for path in sorted(found, key=version)[-1:]:
        zipfile.ZipFile(path).extractall(lib)
compileall.compile_dir(lib, quiet=2)
' "$wheels" "$1"
}

get_requests() ( # fills $stage/lib, with the first of pip, venv and bare wheels that is there
    say "installing requests into a private directory (this Python has none) ..."
    TMPDIR=$stage/tmp # the usual one may be full, read-only or noexec
    export TMPDIR
    if isolated "$python" -m pip --version >/dev/null 2>&1; then
        pip_install "$python" --target "$stage/lib" requests
    elif isolated "$python" -c 'import venv, ensurepip' 2>/dev/null &&
        isolated "$python" -m venv "$stage/venv" >"$stage/venv.log" 2>&1; then
        pip_install "$stage/venv/bin/python" --target "$stage/lib" requests
    elif [ -n "$wheels" ]; then
        unpack_wheels "$stage/lib"
    else
        warn "Python 3.$minor at $python has neither pip nor venv"
        return 1
    fi
)

die_without_requests() {
    warn "could not get the Python package requests. One of these helps:"
    warn "  apt install python3-requests, dnf install python3-requests, or apk add py3-requests"
    warn "  or, on a machine with a network: python3 -m pip download --only-binary=:all: \\"
    warn "    --python-version 3.$minor -d wheels requests; then here: ./install.sh --wheels wheels"
    die "  or set PYTHON=/path/to/a/python3 that has requests" 3
}

# ---- files in JSON -----------------------------------------------------------------

edit_json() { # edit_json SNIPPET ARGUMENT...: runs it after load() and save()
    snippet=$1
    shift
    "$python" -I -S -c '
import json, os, re, stat, sys, tempfile, time

NUMBER = os.urandom(16).hex()  # begins the texts that stand for numbers, which stay as written

def fail(text):
    sys.exit("install.sh: " + text)

def named_once(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("%s is there twice" % json.dumps(max(names, key=names.count)))
    return dict(pairs)

def no_number(text):
    raise ValueError(text + " is no number")

def load(path):
    """The object in the file, and its bytes; {} and no bytes where there is no file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            fail("%s is left alone because it is not a regular file" % path)
        with open(path, "rb") as file:
            raw = file.read()
        data = json.loads(
            raw.decode("utf-8-sig").rstrip() or "{}", object_pairs_hook=named_once,
            parse_int=NUMBER.__add__, parse_float=NUMBER.__add__, parse_constant=no_number)
    except FileNotFoundError:
        return {}, b""
    except OSError as error:
        fail("%s cannot be read: %s" % (path, error.strerror))
    except (ValueError, RecursionError) as error:
        fail("%s is left alone because its JSON is not sound: %s" % (path, error))
    if not isinstance(data, dict):
        fail("%s is left alone because it does not hold a JSON object" % path)
    return data, raw

def write(path, raw, mode=None, like=None):
    """Atomic and through links. Keeps the mode (or takes it) and, for root, the owner."""
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    try:
        old = os.stat(like or path) if os.path.exists(like or path) else None
        handle, temporary = tempfile.mkstemp(dir=folder, prefix="." + name + ".")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
                if old and os.geteuid() == 0:
                    os.fchown(handle, old.st_uid, old.st_gid)
                os.fchmod(handle, mode or (stat.S_IMODE(old.st_mode) if old else 0o600))
                file.flush()
                os.fsync(handle)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        fail("%s cannot be written: %s" % (path, error.strerror))

def save(path, data, old, mode=None):
    """Indented as it was, with its numbers; what was ASCII stays ASCII."""
    found = re.search(rb"\n([ \t]+)", old)
    indent = found.group(1).decode() if found else None if old else 2
    text = json.dumps(data, ensure_ascii=old.isascii(), indent=indent)
    text = re.sub("\"%s(.+?)\"" % NUMBER, r"\1", text)
    end = "" if old and not old.endswith(b"\n") else "\n"
    # half a surrogate pair has no other spelling
    write(path, (text + end).encode("utf-8", "backslashreplace"), mode)
'"$snippet" "$@"
}

configure() { # configure REGION KEY?: into config.json; with KEY? = key, it is read from stdin
    edit_json '
path, region, wanted = sys.argv[1:]
config, old = load(path)
if wanted:
    try:
        given = sys.stdin.buffer.read(1 << 16)
    except OSError as error:
        fail("standard input cannot be read: %s; nothing was stored" % error.strerror)
    key = given.decode("utf-8-sig", "replace").strip()
    if not key:
        fail("standard input held no API key; nothing was stored")
    if not key.isascii() or not key.isprintable() or " " in key:
        fail("that is no API key: it must be one line of plain characters; nothing was stored")
    if len(key) > 8192:
        fail("that is no API key: it has more than 8192 characters; nothing was stored")
    config["api_key"] = key
if region:
    config["region"] = region
save(path, config, old, 0o600)
' "$config" "$1" "$2"
}

config_is_sound() { edit_json 'load(sys.argv[1])' "$config" </dev/null 2>/dev/null; }

key_is_configured() {
    [ -z "${MINIMAX_API_KEY:-}" ] || return 0
    edit_json '
config, _ = load(sys.argv[1])
sys.exit(not (config.get("api_key") or config.get("api_key_file")))
' "$config" </dev/null 2>/dev/null
}

allow() {
    told=$(edit_json '
path, name = sys.argv[1:]
data, old = load(path)
plugins = data.setdefault("plugins", {})
if not isinstance(plugins, dict):
    fail("%s is left alone because plugins is not an object" % path)
allowed = plugins.setdefault("allow", [])
if not isinstance(allowed, list):
    fail("%s is left alone because plugins.allow is not a list" % path)
if name in allowed:
    print("plugins.allow in %s has it already" % path)
    sys.exit()
allowed.append(name)
if old:
    backup = os.path.realpath(path) + time.strftime(".bak-%Y%m%d-%H%M%S")
    while os.path.exists(backup):
        backup += "+"
    write(backup, old, like=path)
    print("backup: " + backup)
save(path, data, old)
print("added %s to plugins.allow in %s" % (name, path))
' "$root/plexum.json" "$name" </dev/null) && say "$told"
}

is_allowed() {
    edit_json '
path, name = sys.argv[1:]
plugins = load(path)[0].get("plugins")
allowed = plugins.get("allow") if isinstance(plugins, dict) else None
sys.exit(not (isinstance(allowed, list) and name in allowed))
' "$root/plexum.json" "$name" </dev/null 2>/dev/null
}

can_ask() { [ -t 3 ] && [ -t 2 ] && command -v stty >/dev/null 2>&1; } # a person, that is

ask_for_key() { # the answer is not shown
    unset key # one from the environment would hand on the new value to every command
    terminal=$(stty -g <&3)
    stty -echo <&3 # before the prompt, so that not even a quick answer is shown
    printf 'MiniMax API key (not shown; Enter leaves it for later): ' >&2
    IFS= read -r key <&3 || key=
    stty "$terminal" <&3
    terminal=
    printf '\n' >&2
    [ -z "$key" ] || printf '%s' "$key" | configure '' key || miss "storing the key"
    key=
}

# ---- installing --------------------------------------------------------------------

locate() { # sets root, target and config
    root=${PLEXUM_PROFILE_ROOT:-}
    if [ -z "$root" ]; then
        [ -n "${HOME:-}" ] || die "HOME is not set; set it, or PLEXUM_PROFILE_ROOT=/a/directory"
        [ -d "$HOME" ] || die "there is no home directory $HOME; set PLEXUM_PROFILE_ROOT=/a/directory"
        root=$HOME/.plexum
    fi
    root=$(absolute "$root")
    target=$root/plugins/$name
    config=$target/config.json
}

check_target() { # before anything is written: can it be? Sets existing, the part that is there
    existing=$target
    while [ ! -e "$existing" ] && [ ! -L "$existing" ]; do
        existing=$(dirname "$existing")
    done
    [ -d "$existing" ] || die "$existing is in the way: it is not a directory"
    for path in "$target/$launcher" "$target/$module.py" "$target/manifest.json" "$config"; do
        [ ! -d "$path" ] || die "$path is in the way: it is a directory"
    done
    [ -w "$existing" ] || die "$existing cannot be written; set PLEXUM_PROFILE_ROOT=/a/directory"
}

cleanup() {
    [ -z "$terminal" ] || stty "$terminal" <&3 || :
    if [ -n "$stage" ]; then
        rm -rf "$stage"
        while [ "$target" != "$existing" ] && rmdir "$target" 2>/dev/null; do
            target=$(dirname "$target")
        done
    fi
    [ -z "$scratch$scratch_home" ] || rm -rf "$scratch" "$scratch_home"
}

unused() { # unused PATH: PATH.N.PID, which no earlier process with this number has left
    n=1
    while [ -e "$1.$n.$$" ]; do
        n=$((n + 1))
    done
    printf '%s' "$1.$n.$$"
}

sweep() { # what interrupted and older installs left. The packages of the plugin in place stay
    # until the next time, even if it is replaced now: it may be running and import later.
    for left in "$target"/.stage.* "$target"/lib.*; do
        if [ "$left" = "$packages" ] || grep -qF "/${left##*/}'" "$target/$launcher" 2>/dev/null; then
            continue
        fi
        # another install may be at work with it just now
        if [ "${left##*.}" = $$ ] || ! kill -0 "${left##*.}" 2>/dev/null; then
            rm -rf "$left"
        fi
    done
}

write_launcher() { # absolute paths, so that it works through links and from PATH
    cat <<END
#!/bin/sh
# Starts $name; written by its install.sh, which replaces it when run again.
dir=$(quoted "$target")
python=$(quoted "$python")
packages=$(quoted "$packages")
END
    if [ -n "${PLEXUM_PROFILE_ROOT:-}" ]; then
        cat <<END
# It was installed with PLEXUM_PROFILE_ROOT: that stays its profile, unless told otherwise.
[ -n "\${PLEXUM_PROFILE_ROOT:-}" ] || PLEXUM_PROFILE_ROOT=$(quoted "$root")
export PLEXUM_PROFILE_ROOT
END
    fi
    cat <<'END'
if [ ! -x "$python" ]; then
    echo "plexum-minimax-provider: its Python, $python, is gone; run install.sh again" >&2
    exit 3
fi
# -E and -S: PYTHON* variables and other packages' start-up files neither change what runs
# nor slow it down. Importing the plugin, unlike running its file, uses cached bytecode.
exec "$python" -E -S -c 'import gc, sys
if sys.version_info < (3, 8):
    sys.stderr.write("plexum-minimax-provider: it needs Python 3.8 or newer and %s is %d.%d; "
                     "run install.sh again\n" % ((sys.executable,) + tuple(sys.version_info[:2])))
    sys.exit(3)
_, launcher, packages, directory = sys.argv[:4]
sys.argv[:4] = [launcher]
del sys.path[0]  # the working directory
sys.path += packages.split("\n") if packages else []
sys.path.append(directory)
gc.disable()  # it finds nothing while a module is loaded, and takes a millisecond
import plexum_minimax_provider
gc.enable()
sys.exit(plexum_minimax_provider.main())' "$0" "$packages" "$dir" "$@"
END
}

place() { mv -f "$stage/$1" "$target/$1" || die "could not write $target/$1"; }

prepare() { # everything that can fail happens in $stage, while the old plugin still works
    sweep
    stage=$(unused "$target/.stage")
    { (umask 077 && mkdir -p "$target") && chmod 700 "$target" && mkdir "$stage" "$stage/tmp"; } ||
        die "could not write to $target"
    if [ -n "$lacking" ]; then
        { get_requests && can_import_requests "$stage/lib"; } || die_without_requests
    fi
    {
        cp "$here/$module.py" "$stage/" && chmod 644 "$stage/$module.py" &&
            isolated "$python" -S "$stage/$module.py" --manifest >"$stage/manifest.json" &&
            new=$(isolated "$python" -S "$stage/$module.py" --version)
    } ||
        die "$module.py does not run with Python 3.$minor at $python; nothing was changed"
    printf '{\n  "api_key": "",\n  "region": "%s"\n}\n' "${region:-global}" >"$stage/config.json"
    chmod 600 "$stage/config.json"
}

switch() { # every step is a rename, the launcher's the last: at any moment old or new runs
    if [ -d "$stage/lib" ]; then
        packages=$(unused "$target/lib")
        mv "$stage/lib" "$packages" || die "could not write $packages"
    fi
    { write_launcher >"$stage/$launcher" && chmod 755 "$stage/$launcher"; } ||
        die "could not write $stage/$launcher"
    place "$module.py"
    isolated "$python" -S -m py_compile "$target/$module.py" 2>/dev/null || :
    place manifest.json
    # A link fails if there is a config.json by now; some file systems have no links.
    if [ ! -e "$config" ] && ! ln "$stage/config.json" "$config" 2>/dev/null; then
        (umask 077 && set -C && cat "$stage/config.json" >"$config") 2>/dev/null || :
    fi
    place "$launcher"
    rm -rf "$stage"
    stage=
}

run_demo() {
    say "running the demo: a whole turn with a server of its own, without key or network"
    status=0
    "$target/$launcher" demo </dev/null || status=$?
    if [ "$status" -eq 126 ] && [ ! -x "$target/$launcher" ]; then
        warn "no program can be started from $target (mounted noexec?), so no gateway can"
        status=0
        sh "$target/$launcher" demo </dev/null || status=$?
    fi
    if [ "$status" -ne 0 ]; then
        warn "the demo failed with exit code $status; it is installed, but it does not work here"
        miss "the demo"
    fi
}

next_steps() {
    program=$(shown "$target/$launcher")
    say "" "to try it without the gateway:" \
        "  $program check   # does it work, and if not, why" \
        "  $program say hello   # or say --chat" \
        "  $program models   # limits and prices; quota shows what is left of a plan"
    say "" "what is left:"
    if ! config_is_sound; then
        say "  correct or remove $(shown "$config"): it is no JSON object that can be read"
    elif ! key_is_configured; then
        say "  put the API key into $(shown "$config")" \
            "    or pipe it into $(shown "$here/install.sh") --api-key-stdin"
    fi
    is_allowed || say "  $(shown "$here/install.sh") --allow   # adds it to plugins.allow"
    say "  plexum agent-add --model MiniMax-M3 my-agent"
    say "  systemctl --user restart plexum"
    # shellcheck disable=SC2016 # to be copied as it is
    say '  plexum say --agent-id my-agent --session-id $(plexum new-session --agent-id my-agent) "hello"'
}

install_plugin() {
    need cat chmod cp dirname grep ln mkdir mv rm sed
    locate
    [ -f "$here/$module.py" ] || die "$module.py is not beside install.sh in $here"
    check_target
    find_python requests
    find_packages || lacking=yes
    case $lacking$target in # lists of paths are separated by it
        yes*"$line_break"*) die "requests cannot go below a path with a line break" 3 ;;
    esac
    if [ -n "$dry_run" ]; then
        describe_install
        return
    fi
    old=
    if [ -f "$target/$launcher" ]; then
        old=$(sh "$target/$launcher" --version </dev/null 2>/dev/null) || old="one that did not run"
    fi
    prepare
    switch
    say "$new is in $target${old:+ (there was: $old)}, with Python 3.$minor at $python"
    if can_ask && { [ -n "$key_from_stdin" ] || { config_is_sound && ! key_is_configured; }; }; then
        ask_for_key
        key_from_stdin=
    fi
    if [ -n "$key_from_stdin$region" ]; then
        configure "$region" "$key_from_stdin" <&3 || miss "storing what was given"
    fi
    [ -z "$allow" ] || allow || miss --allow
    [ -n "$no_demo" ] || run_demo
    next_steps
    [ -z "$failed" ] || die "it is installed, but this did not work: $failed; see above"
}

describe_install() {
    case $lacking-$offline-$wheels${PIP_FIND_LINKS:-} in yes-yes-) die_without_requests ;; esac
    say "would use Python 3.$minor at $python"
    [ -z "$lacking" ] || say "would install requests into $target/lib.N"
    say "would write $module.py, $launcher and manifest.json into $target"
    [ -e "$config" ] || say "would write $config, without a key"
    [ -z "$key_from_stdin$region" ] || say "would store what was given in $config"
    [ -z "$allow" ] || say "would add $name to plugins.allow in $root/plexum.json"
}

uninstall() {
    need rm rmdir
    locate
    for path in "$target/$launcher" "$target/$module.py" "$target/manifest.json" \
        "$target/__pycache__" "$target"/lib.* "$target"/.stage.*; do
        [ -e "$path" ] || continue
        if [ -n "$dry_run" ]; then
            say "would remove $path"
        else
            rm -rf "$path" || die "could not remove $path"
            say "removed $path"
        fi
    done
    [ -n "$dry_run" ] || rmdir "$target" 2>/dev/null || :
    [ ! -e "$config" ] || say "kept $config"
    say "plugins.allow in $root/plexum.json is left as it is"
}

# ---- tests -------------------------------------------------------------------------

make_venv() { # make_venv DIRECTORY REQUIREMENT...: complete or not there at all
    venv=$1
    shift
    say "making $venv with $* ..."
    scratch=$venv.$$
    rm -rf "$venv"
    {
        isolated "$python" -m venv "$scratch" && pip_install "$scratch/bin/python" "$@" &&
            mv "$scratch" "$venv"
    } || die "could not make $venv; are Python's venv module (python3-venv) and the network there?" 3
    scratch=
}

has_modules() { # has_modules PYTHON: those of the tests, in the wanted version of Python
    isolated "$1" -B -c '
import sys, requests, pytest, hypothesis
sys.exit(sys.version_info[1] != int(sys.argv[1]))' "$minor" 2>/dev/null
}

run_pytest() { # run_pytest PYTHON ARGUMENT...
    tested_with=$1
    shift
    (cd "$here" && exec "$tested_with" -m pytest test_provider.py "$@" </dev/null)
}

run_tests() {
    find_python requests pytest hypothesis
    if [ ! -w "$here" ]; then
        scratch_home=$(mktemp -d)
        HYPOTHESIS_STORAGE_DIRECTORY=$scratch_home/hypothesis
        export HYPOTHESIS_STORAGE_DIRECTORY
        set -- -p no:cacheprovider "$@"
    fi
    venv=${scratch_home:-$here}/.venv-test
    if [ "$complete" = no ] && ! has_modules "$venv/bin/python"; then
        make_venv "$venv" requests pytest hypothesis jsonschema
    fi
    [ "$complete" = yes ] || python=$venv/bin/python
    say "testing with Python 3.$minor at $python"
    status=0
    run_pytest "$python" "$@" || status=$?
    exit "$status"
}

requests_at() { # requests_at oldest|newest MINOR: the oldest that Python 3.MINOR can hold
    case $1-$2 in
        newest-*) say requests ;;
        oldest-8 | oldest-9) say "requests==2.22.0 urllib3==1.25.11" ;; # Ubuntu 20.04
        *) say "requests==2.25.1 urllib3==1.26.20" ;;                   # Debian 11, RHEL 9
    esac
}

every_python() { # "MINOR EXECUTABLE", one per minor version, the oldest first
    {
        candidates
        for path in "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/*/bin/python3; do
            [ ! -x "$path" ] || say "$path"
        done
    } | while read -r candidate; do
        if found=$(probe "$candidate"); then
            say "${found#* }"
        fi
    done | sort -n -u -k 1,1
}

run_matrix() {
    pythons=$(every_python)
    [ -n "$pythons" ] || die "no Python 3.8 or newer found" 3
    [ -z "$ends" ] || pythons=$(say "$pythons" | sed -n '1p;$p' | sort -n -u)
    mkdir -p "$here/.venv-matrix"
    table=$(printf '%-8s%-10s%-10s%s' python requests urllib3 result)
    while read -r minor python; do
        for end in oldest newest; do
            matrix_entry "$@"
        done
    done <<END
$pythons
END
    say "" "$table"
    [ -z "$failed" ] || die "the suite does not pass everywhere"
}

matrix_entry() {
    venv=$here/.venv-matrix/3.$minor-$end
    # shellcheck disable=SC2046 # several requirements are meant
    has_modules "$venv/bin/python" ||
        make_venv "$venv" $(requests_at "$end" "$minor") pytest hypothesis jsonschema
    entry=$(isolated "$venv/bin/python" -c '
import requests, sys, urllib3
versions = "3.%d" % sys.version_info[1], requests.__version__, urllib3.__version__
print("%-8s%-10s%-10s" % versions)')
    say "testing with Python, requests, urllib3: $entry"
    result=passed
    run_pytest "$venv/bin/python" -q "$@" >"$venv/pytest.log" 2>&1 || result=FAILED
    if [ "$result" = FAILED ]; then
        failed=yes
        cat "$venv/pytest.log"
    fi
    table="$table
$entry$result: $(sed -n '$p' "$venv/pytest.log")"
}

# ---- the command line --------------------------------------------------------------

main() {
    name=plexum-minimax-provider
    module=plexum_minimax_provider
    launcher=$name-plugin
    line_break='
'
    mode=install
    allow='' ends='' dry_run='' failed='' key_from_stdin='' lacking='' matrix='' no_demo=''
    offline='' region='' scratch='' scratch_home='' stage='' terminal='' wheels=''
    # A PYTHONHOME or PYTHONPATH made for another Python breaks this one; and output
    # must be right without PYTHONUNBUFFERED, so the tests do without it.
    unset CDPATH PYTHONHOME PYTHONPATH PYTHONUNBUFFERED
    umask 022
    here=$(cd -- "$(dirname -- "$0")" && pwd) || die "the directory of install.sh is gone"
    while [ $# -gt 0 ]; do
        case $1 in
            --allow) allow=yes ;;
            --api-key-stdin) key_from_stdin=key ;;
            --dry-run) dry_run=yes ;;
            --ends) ends=yes ;;
            --help | -h) mode=help ;;
            --matrix) matrix=yes ;;
            --no-demo) no_demo=yes ;;
            --offline) offline=yes ;;
            --region | --wheels)
                [ -n "${2:-}" ] || usage_error "$1 needs a value"
                option=$1
                shift
                case $option in --region) region=$1 ;; *) wheels=$1 offline=yes ;; esac
                ;;
            --region= | --wheels=) usage_error "$1 needs a value" ;;
            --region=*) region=${1#*=} ;;
            --wheels=*) wheels=${1#*=} offline=yes ;;
            --test) mode='test' ;;
            --uninstall) mode=uninstall ;;
            --upgrade) ;;
            --) shift && break ;;
            *) usage_error "unknown option $1" ;;
        esac
        shift
    done
    [ $# -eq 0 ] || [ "$mode" = test ] || usage_error "arguments after -- are for --test"
    [ -z "$matrix" ] || [ "$mode" = test ] || usage_error "--matrix goes with --test"
    [ -z "$ends" ] || [ -n "$matrix" ] || usage_error "--ends goes with --matrix"
    case $region in '' | global | cn) ;; *) usage_error "--region is global or cn, not $region" ;; esac
    if [ -n "$wheels" ]; then
        [ -d "$wheels" ] || usage_error "--wheels $wheels is not a directory"
        wheels=$(absolute "$wheels")
    fi
    (exec 3<&0) 2>/dev/null || exec </dev/null
    (exec 3>&1) 2>/dev/null || exec >/dev/null # a file must not become the output
    exec 3<&0 # the key, or the terminal; nothing else is to read it
    trap cleanup EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap : PIPE # what is said to nobody ends nothing
    case $mode in
        help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" ;;
        install) install_plugin ;;
        uninstall) uninstall ;;
        test) if [ -n "$matrix" ]; then run_matrix "$@"; else run_tests "$@"; fi ;;
    esac
}

main "$@"
