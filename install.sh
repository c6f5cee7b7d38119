#!/bin/sh
# install.sh - installs the MiniMax provider for its user, without root.
# It goes to ${PLEXUM_PROFILE_ROOT:-~/.plexum}/plugins/plexum-minimax-provider.
# At a terminal, it asks for the API key and finds the region that accepts it. To
# upgrade, run it again, with or without --upgrade. Usage: ./install.sh [options]
#
#   --allow           add it to plugins.allow in plexum.json, after a backup
#   --api-key-stdin   read the API key from standard input, never an argument
#   --region R        store the region of the key: global or cn
#   --no-link         leave out the link ~/.local/bin/plexum-minimax
#   --no-demo         leave out the demo
#   --offline         never use the network
#   --wheels DIR      take packages from DIR only; implies --offline. To fill DIR:
#                     python3 -m pip download -d DIR requests
#   --dry-run         print what would be done, and write nothing
#   --uninstall       remove it, also from plugins.allow; config.json stays
#   --test [-- ARGS]  run the tests with pytest, in .venv-test if Python lacks it
#   --help            print this text
#
# PYTHON=/path/to/python3 chooses the Python. Otherwise it is the first python3 or
# python3.N on PATH that has requests. If none has it, a private copy is added.
#
# Exit codes: 0 done; 1 a step failed; 2 wrong options; 3 no Python 3.8 or newer,
# or no way to get requests. With --test, the exit code is pytest's.

set -eu

say() { printf '%s\n' "$@" 2>/dev/null || :; } # a closed stdout is no reason to stop
warn() { printf 'install.sh: %s\n' "$@" >&2; }
die() { warn "$1" && exit "${2:-1}"; } # die SENTENCE [EXIT-CODE]
quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$(pwd)" "$1" ;; esac }

# ---- Python and its packages -------------------------------------------------------
# Neither local files nor PYTHON* variables change what a Python finds; no stdin, no key.
isolated() (cd / && run=$1 && shift && exec "$run" -E "$@" </dev/null)

candidates() (
    IFS=:
    for dir in $PATH; do
        printf '%s\n' "$dir"/python3 "$dir"/python3.[0-9] "$dir"/python3.[0-9][0-9]
    done
)

# probe PYTHON MODULE...: prints "MINOR EXECUTABLE" and the paths that site adds, one a
# line, on descriptor 4, since start-up files may print on stdout; fails without a module.
probe() {
    isolated "$1" -B -S -c '
import os, sys
if sys.version_info < (3, 8):
    sys.exit(1)
bare = {"/", *sys.path}  # it starts there, and site makes "" absolute
import site
site.main()
for name in sys.argv[2:]:
    __import__(name)
answer = ["%d %s" % (sys.version_info[1], sys.executable)]
os.write(4, os.fsencode("\n".join(answer + [p for p in sys.path if p not in bare])))
' "$@" 4>&1 >/dev/null 2>&1
}

find_python() { # find_python MODULE...: sets python, minor, packages and is_complete
    for is_complete in yes ''; do
        while read -r candidate; do
            answer=$(probe "$candidate" "$@") || continue
            packages=${answer#*"$line_break"} answer=${answer%%"$line_break"*}
            python=${answer#* } minor=${answer%% *}
            case $minor in [0-9]*) return ;; esac # anything else is not Python
        done <<END
$(if [ -n "${PYTHON:-}" ]; then absolute "$(command -v "$PYTHON")"; else candidates; fi)
END
        set --
    done
    die "there is no Python 3.8 or newer ${PYTHON:+at }${PYTHON:-on PATH}; set PYTHON=/path/to/one" 3
}

find_pip() { # sets pip, the argument that starts it: Python can run one inside a wheel
    library=$(isolated "$python" -S -c 'import os; print(os.path.dirname(os.__file__))')
    for pip in -mpip "$library"/ensurepip/_bundled/pip-*.whl /usr/share/python-wheels/pip-*.whl; do
        [ "$pip" = -mpip ] || pip=$pip/pip
        isolated "$python" "$pip" --version >/dev/null 2>&1 && return
    done
}

download() ( # download DIRECTORY PACKAGE...: downloads wheels into $stage and unpacks them
    directory=$1 && shift
    # Of the user's variables for pip, only those stay that lead to an index.
    keep='INDEX|FIND|PROXY|CERT|HOST|TIMEOUT|RETRIES|KEYRING|CONFIG'
    for variable in $(env | sed -nE "/^PIP_[A-Z_]*($keep)/d; s/^(PIP_[A-Z_]*)=.*/\\1/p"); do
        unset "$variable"
    done
    if find_pip; then
        export PIP_REQUIRE_VIRTUALENV=0 TMPDIR="$stage" # /tmp may be full or read-only
        [ -z "$wheels" ] || set -- --find-links "$wheels" "$@"
        [ -z "$offline" ] || { set -- --no-index "$@" && export PIP_FIND_LINKS='' PIP_CONFIG_FILE=/dev/null; }
        isolated "$python" "$pip" download -qq --disable-pip-version-check --no-input \
            --only-binary :all: -d "$stage/wheels" "$@" || return 1
        wheels=$stage/wheels
    fi
    [ -n "$wheels" ] || { say "Python 3.$minor at $python has neither pip nor ensurepip" && return 1; }
    for wheel in "$wheels"/*.whl; do
        isolated "$python" -S -m zipfile -e "$wheel" "$directory" || return 1
    done
)

get_packages() { # get_packages DIRECTORY PACKAGE...: pip's output is for who looks for it
    output=$(download "$@" 2>&1) && return
    case $output in *'No space left'*) die "no space is left on the disk of $stage" 3 ;; esac
    case $output in *'connection broken'*) warn "the package index cannot be reached" ;; esac
    warn "cannot get $2: ${output##*"$line_break"}"
    { log=$(mktemp) && printf '%s\n' "$output" >"$log" && warn "the whole output is in $log"; } || : && return 1
}

has_requests() { isolated "$python" -S -c 'import sys; sys.path.append(sys.argv[1]); import requests' "$1"; }

# ---- config.json and plexum.json ---------------------------------------------------
json() { # json FUNCTION FILE ARGUMENT...: calls set_up or allow
    "$python" -I -S -c '
import contextlib, getpass, json, os, re, signal, subprocess, sys, tempfile, textwrap, time
from pathlib import Path

def say(text):
    with contextlib.suppress(OSError):  # a closed stdout is no reason to stop
        os.write(1, (text + "\n").encode())
def load(path):
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError("it is not a regular file")  # to open a FIFO would hang
    text = Path(path).read_text("utf-8-sig") if os.path.exists(path) else ""
    return json.loads(text.strip() or "{}")

def save(path, **changes):
    """Replace the file in one step; it keeps its links, mode and owner."""
    path = os.path.realpath(path)
    text = json.dumps({**load(path), **changes}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".stage.")
    with open(handle, "wb") as file:
        file.write(text.encode())
        if os.path.exists(path):
            os.chown(handle, os.stat(path).st_uid, os.stat(path).st_gid)
            os.chmod(handle, os.stat(path).st_mode & 0o7777)
        file.flush()
        os.fsync(handle)
    os.replace(temporary, path)

def check(launcher, *options, **environ):
    command, environ = [launcher, "check", "--json", *options], {**os.environ, **environ}
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return json.loads(done.stdout)["checks"]

def store_key(config, launcher):
    """Ask, at a terminal until the plugin finds no fault with the key."""
    while True:
        prompt = "MiniMax API key (hidden; Enter to skip): "
        try:
            key = getpass.getpass(prompt) if os.isatty(0) else sys.stdin.read(65536)
        except EOFError:  # Ctrl-D
            key = ""
            say(key)
        except SystemExit:  # Ctrl-C
            sys.exit("\nNo key was stored. Run install.sh again, or export MINIMAX_API_KEY=sk-...")
        key = key.lstrip("\ufeff").strip()
        if os.isatty(0) and not key:
            return False
        environ = {"MINIMAX_API_KEY": key, "PLEXUM_MINIMAX_CONFIG": config + ".none"}
        [row] = [row for row in check(launcher, "--offline", **environ) if row["check"] == "api_key"]
        text = re.sub(r"\.$| \((MINIMAX_|a string ).*", "", row["text"].replace("MINIMAX_API_KEY: api_key", "the key"))
        if row["status"] != "problem":
            save(config, api_key=key)
            say("stored: " + text)
            return True
        if not os.isatty(0):
            sys.exit("install.sh: %s; nothing was stored" % text)
        say(text + "; try again")

def set_up(config, launcher, region, is_key_given, is_offline):
    """Exit with 0 if MiniMax accepts the key, 4 if that is unknown, 5 without a key."""
    has_key = any(map(load(config).get, ("api_key", "api_key_file"))) or os.getenv("MINIMAX_API_KEY")
    if region:
        save(config, region=region)
    if is_key_given or (os.isatty(0) and not has_key):
        has_key = store_key(config, launcher) or has_key
    if is_offline or not os.isatty(0) or not has_key:
        sys.exit(4 if has_key else 5)
    say("checking the key with MiniMax, which spends no tokens ...")
    rows = check(launcher, PLEXUM_MINIMAX_CONFIG=config)
    for region in [row["settings"]["region"] for row in rows if "region" in row.get("settings", {})]:
        save(config, region=region)
        say("stored: region " + region)
        rows = check(launcher, PLEXUM_MINIMAX_CONFIG=config)
    problems = [row for row in rows if row["status"] == "problem"]
    for row in problems:
        for text in ("problem: " + row["text"], "  -> " + row["remedy"]):
            say(textwrap.fill(text, 79, subsequent_indent="     ", break_long_words=False, break_on_hyphens=False))
    is_refused = any(row.get("code") in ("auth", "permission", "insufficient_balance") for row in problems)
    if is_refused and not os.getenv("MINIMAX_API_KEY") and store_key(config, launcher):
        return set_up(config, launcher, "", "", "")
    sys.exit(5 if is_refused else 4 if problems else 0)

def allow(path, name, verb):  # verb is "add" or "remove"
    plugins = load(path).get("plugins")
    plugins = {} if plugins is None else plugins  # Go writes null
    names = [] if plugins.get("allow") is None else [] + plugins["allow"]
    if (name in names) == (verb == "add"):
        return say(("allowed    already in " if verb == "add" else "not allowed in ") + path)
    if os.path.exists(path):
        backup = os.path.realpath(path) + time.strftime(".bak-%Y%m%d-%H%M%S-") + str(os.getpid())
        os.link(os.path.realpath(path), backup)  # save() makes a new file
        say("backup     " + backup)
    names = names + [name] if verb == "add" else [each for each in names if each != name]
    save(path, plugins={**plugins, "allow": names})
    say(("allowed    in " if verb == "add" else "removed from plugins.allow in ") + path)

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: sys.exit(143))  # getpass turns the echo on again
try:
    globals()[sys.argv[1]](*sys.argv[2:])
except (AttributeError, TypeError):
    sys.exit("install.sh: %s was left alone: its structure is unknown" % sys.argv[2])
except (OSError, ValueError, RecursionError) as error:
    sys.exit("install.sh: %s was left alone: %s; correct it" % (sys.argv[2], error))
' "$@"
}

# ---- installing --------------------------------------------------------------------
cleanup() {
    [ -n "$stage" ] || return 0
    rm -rf "$stage"
    rmdir "$target" "$root/plugins" "$root" 2>/dev/null || : # if nothing was installed
}

write_launcher() {
    cat <<END
#!/bin/sh
# Starts $name. install.sh wrote this file, and replaces it when it runs again.
python=$(quoted "$python")
paths=$(quoted "${packages:+$packages$line_break}$target")
[ -n "\${PLEXUM_PROFILE_ROOT:-}" ] || export PLEXUM_PROFILE_ROOT=$(quoted "${PLEXUM_PROFILE_ROOT:+$root}")
[ -x "\$python" ] || { echo "plexum-minimax: \$python is gone; run install.sh again" >&2 && exit 3; }
# -E and -S: no start-up file changes what runs. Imported, it starts from cached bytecode.
exec "\$python" -E -S -c 'import gc, sys
paths, *sys.argv = sys.argv[1:]
sys.path = sys.path[1:] + paths.split("\\n")  # without the working directory
gc.disable()  # there is no garbage while a module is loaded, and nothing of it becomes some
from plexum_minimax_provider import main
gc.freeze()
gc.enable()
sys.exit(main())' "\$paths" "\$0" "\$@"
END
}

get_requests() {
    say "installing requests into a private directory ..."
    { get_packages "$stage/lib" requests && has_requests "$stage/lib" &&
        rm -rf "$packages" && mv "$stage/lib" "$packages"; } && return
    for remedy in 'apt install python3-requests' 'dnf install python3-requests' 'apk add py3-requests'; do
        ! command -v "${remedy%% *}" >/dev/null || break
    done
    die "run $remedy, or use --wheels (see --help)" 3
}

# Everything that can fail happens in $stage, while the old plugin still works. Then the
# files are renamed, the launcher last, so the old or the new plugin runs at any moment.
install_files() {
    for left in "$target"/.stage.*; do
        kill -0 "${left##*.}" 2>/dev/null || rm -rf "$left" || : # of an install that was killed
    done
    { (umask 077 && mkdir -p "$target") && chmod 700 "$target" && rm -rf "$stage" && mkdir "$stage"; } ||
        die "cannot write to $target; set PLEXUM_PROFILE_ROOT=/a/directory"
    [ -n "$is_complete" ] || get_requests
    { new=$(isolated "$python" -S "$here/$module.py" --version) &&
        manifest=$(isolated "$python" -S "$here/$module.py" --manifest); } ||
        die "$module.py does not run with Python 3.$minor at $python; nothing was changed"
    { cp "$here/$module.py" "$stage/" && chmod 644 "$stage/$module.py" &&
        printf '%s\n' "$manifest" >"$stage/manifest.json" &&
        write_launcher >"$stage/$launcher" && chmod 755 "$stage/$launcher"; } ||
        die "cannot write to $stage; nothing was changed"
    [ -e "$config" ] || [ -L "$config" ] || (umask 077 && echo '{"api_key": ""}' >"$stage/config.json")
    for file in config.json "$module.py" manifest.json "$launcher"; do
        [ ! -e "$stage/$file" ] || mv -f "$stage/$file" "$target/" || die "cannot write $target/$file"
    done
    isolated "$python" -S -m py_compile "$target/$module.py" 2>/dev/null || :
}

make_link() { # sets command, what a person types
    command=$(quoted "$program")
    [ -z "$no_link" ] && [ -n "${HOME:-}" ] || return 0
    case $(readlink "$link" || [ ! -e "$link" ] || echo other) in
        '' | */"$launcher") { mkdir -p "${link%/*}" && ln -sf "$program" "$link"; } || return 0 ;;
        *) warn "$link is not a link to the plugin; it was left alone" && return ;;
    esac
    say "command    $link"
    command=plexum-minimax
    case :$PATH: in *:"${link%/*}":*) return ;; esac
    command=\~/.local/bin/plexum-minimax
    say "           ~/.local/bin is not on PATH; add it: PATH=\$HOME/.local/bin:\$PATH"
}

run_demo() { # a person watches it; a log gets the last line
    if [ -t 1 ]; then "$program" demo </dev/null; return; fi
    output=$("$program" demo </dev/null) && say "${output##*"$line_break"}"
}

is_allowed() { # as far as the text of the file tells
    case $([ ! -f "$plexum_json" ] || cat "$plexum_json") in *"\"$name\""*) ;; *) return 1 ;; esac
}

next_steps() { # next_steps STATE: the exit code of set_up; the numbers are README.md's
    case $0 in */*) me=$0 ;; *) me=./$0 ;; esac
    case $me in *[!A-Za-z0-9_./-]*) me=$(quoted "$me") ;; esac
    if [ -t 3 ]; then key=./install.sh; else key='./install.sh --api-key-stdin <FILE'; fi
    say "Next steps, as in README.md (3 to 6 are for Plexum):"
    case $1 in 1 | 5) say "  1. export MINIMAX_API_KEY=sk-...  # or $key" ;; esac
    [ "$1" -eq 0 ] || say "  2. $command say \"hello\""
    is_allowed || say "  3. $me --allow"
    say "  4. plexum agent-add --model MiniMax-M3 my-agent" "  5. systemctl --user restart plexum" \
        "  6. plexum say --agent-id my-agent --session-id \\" \
        "       \$(plexum new-session --agent-id my-agent) \"hello\""
    [ "$1" -ne 0 ] || say "" "Ready. Type this:  $command say --chat"
}

install_plugin() {
    [ -f "$here/$module.py" ] || die "$module.py is not beside install.sh in $here"
    find_python requests
    [ -n "$is_complete" ] || { packages=$target/lib-3.$minor && has_requests "$packages" 2>/dev/null && is_complete=yes; } || :
    if [ -n "$dry_run" ]; then
        say "would install into $target, with Python 3.$minor at $python"
        [ -n "$is_complete" ] || say "would install requests into $packages"
        [ -n "$no_link" ] || say "would link $link"
        [ -z "$allow" ] || say "would add $name to plugins.allow in $plexum_json"
        return
    fi
    old=$("$program" --version </dev/null 2>/dev/null) || old=''
    stage=$target/.stage.$$
    install_files
    say "installed  $new${old:+, was ${old##* }}, with Python 3.$minor at $python" "directory  $target"
    make_link
    [ -n "$no_demo" ] || run_demo || { warn "the demo failed: the plugin does not work here" && status=1; }
    json set_up "$config" "$program" "$region" "$is_key_given" "$offline" <&3 || state=$?
    [ -z "$allow" ] || json allow "$plexum_json" "$name" add || status=1
    next_steps "$state"
    case $state in 0 | 4 | 5) exit "$status" ;; *) exit 1 ;; esac
}

uninstall() {
    [ "$(readlink "$link")" = "$program" ] || link=''
    for path in "$program" "$target/$module.py" "$target/manifest.json" \
        "$target/__pycache__" "$target"/lib* "$target"/.stage.* "$link"; do
        [ -e "$path" ] || [ -L "$path" ] || continue
        [ -n "$dry_run" ] || rm -rf "$path" || die "cannot remove $path"
        say "${dry_run:+would have }removed $path"
    done
    [ -n "$dry_run" ] || rmdir "$target" 2>/dev/null || [ ! -e "$config" ] || say "kept $config"
    is_allowed || return 0
    [ -z "$dry_run" ] || { say "would have removed $name from plugins.allow in $plexum_json" && return; }
    find_python && json allow "$plexum_json" "$name" remove
}

run_tests() {
    venv=$here/.venv-test
    find_python requests pytest hypothesis jsonschema
    if [ -z "$is_complete" ] && ! probe "$venv/bin/python" requests pytest hypothesis jsonschema >/dev/null; then
        say "making $venv with requests, pytest, hypothesis and jsonschema ..."
        stage=$venv.$$
        { rm -rf "$venv" && isolated "$python" -m venv --without-pip "$stage/venv" &&
            get_packages "$stage/venv/lib/python3.$minor/site-packages" requests pytest hypothesis jsonschema &&
            mv "$stage/venv" "$venv" && rm -rf "$stage"; } ||
            die "cannot make $venv with Python 3.$minor at $python" 3
    fi
    [ -n "$is_complete" ] || python=$venv/bin/python
    say "testing with Python 3.$minor at $python"
    cd "$here" && exec "$python" -m pytest test_provider.py "$@" </dev/null
}

# ---- the command line --------------------------------------------------------------
main() {
    name=plexum-minimax-provider module=plexum_minimax_provider launcher=$name-plugin
    root=$(absolute "${PLEXUM_PROFILE_ROOT:-${HOME:-}/.plexum}")
    target=$root/plugins/$name config=$target/config.json program=$target/$launcher
    link=${HOME:-}/.local/bin/plexum-minimax plexum_json=$root/plexum.json mode=install_plugin status=0 state=0
    line_break='
'
    allow='' dry_run='' is_key_given='' no_demo='' no_link='' offline='' region='' stage='' wheels=''
    unset CDPATH PYTHONHOME PYTHONPATH PYTHONUNBUFFERED && umask 022
    here=$(cd -- "$(dirname -- "$0")" && pwd)
    while [ $# -gt 0 ]; do
        case $1 in
            --allow) allow=yes ;;
            --api-key-stdin) is_key_given=yes ;;
            --dry-run) dry_run=yes ;;
            --help | -h) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" && exit ;;
            --no-demo) no_demo=yes ;;
            --no-link) no_link=yes ;;
            --offline) offline=yes ;;
            --region) region=${2:-nothing} && shift $(($# > 1)) ;;
            --test) mode=run_tests ;;
            --uninstall) mode=uninstall ;;
            --upgrade) ;;
            --wheels) wheels=${2:-nothing} && shift $(($# > 1)) ;;
            --) shift && break ;;
            *) die "unknown option $1; ./install.sh --help lists the options" 2 ;;
        esac
        shift
    done
    [ $# -eq 0 ] || [ "$mode" = run_tests ] || die "arguments after -- are for --test" 2
    [ "$mode" = run_tests ] || [ -n "${PLEXUM_PROFILE_ROOT:-}${HOME:-}" ] ||
        die "set HOME, or PLEXUM_PROFILE_ROOT=/a/directory"
    case ${PLEXUM_PROFILE_ROOT:-$root} in *"$line_break"*) die "set PLEXUM_PROFILE_ROOT to a path without a line break" ;; esac
    case $region in '' | global | cn) ;; *) die "--region must be global or cn, not $region" 2 ;; esac
    [ -z "$wheels" ] || { wheels=$(cd -- "$wheels" && pwd) && offline=yes; } 2>/dev/null ||
        die "--wheels needs a directory" 2
    (exec 3<&0) 2>/dev/null || exec </dev/null # it may be closed
    exec 3<&0 # only what asks for the key reads it
    trap 'trap "" HUP INT TERM; cleanup' EXIT
    trap 'exit 130' INT
    trap 'exit 143' HUP TERM
    trap : PIPE # a closed stdout or stderr does not end the script
    "$mode" "$@"
}

main "$@"
